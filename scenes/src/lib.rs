//! Pictures a child's book might have, drawn from a seed, with captions and labels.
