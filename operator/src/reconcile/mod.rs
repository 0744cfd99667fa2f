//! One resource, from what is there to what should be.

pub mod validate;
