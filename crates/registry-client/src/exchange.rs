//! The one function through which every request passes.
