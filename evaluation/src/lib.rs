//! A judge that reads pictures, and the tables it fills.
