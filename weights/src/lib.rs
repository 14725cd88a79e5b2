//! Checkpoints: reads what publishers wrote, strictly, and writes our own.
