//! Every test of the workspace lives in `tests/tests`; this library is empty.
