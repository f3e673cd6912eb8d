//! In-process servers on port 0 with scripted faults, and fixtures.
