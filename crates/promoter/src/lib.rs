//! Promotion: inventory, plan, execute, report.
