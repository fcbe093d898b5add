-- Create a database for each system and Temporal's two. The PostgreSQL image runs this once, on an empty volume.
CREATE DATABASE order_center;
CREATE DATABASE settlement;
CREATE DATABASE fund_platform;
CREATE DATABASE temporal;
CREATE DATABASE temporal_visibility;
