//! The promotion YAML: parse with positions, problems, edges. Pure.
