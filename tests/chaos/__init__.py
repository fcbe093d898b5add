"""`make chaos`: rounds on real servers with faults that hit work in flight. No order may be lost or credited twice."""
