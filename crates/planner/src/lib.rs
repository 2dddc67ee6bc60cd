//! Plans: which nodes exist, restart, join and leave, and when.
