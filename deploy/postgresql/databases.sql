-- Run once by the PostgreSQL image, on an empty volume: a database for each system, and Temporal's two.
CREATE DATABASE order_center;
CREATE DATABASE settlement;
CREATE DATABASE fund_platform;
CREATE DATABASE temporal;
CREATE DATABASE temporal_visibility;
