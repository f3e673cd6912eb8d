//! The fan-out engine: one reader, N writers, back-pressure, verification.
