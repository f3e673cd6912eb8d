//! Registry to blob stores: every blob once, verified.
