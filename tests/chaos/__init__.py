"""`make chaos`: whole rounds on real servers, with faults that hit work in flight; nothing may be lost or doubled."""
