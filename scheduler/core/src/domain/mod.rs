//! The words of the field as types: ids, amounts with their unit, caps and requests with their sentinels resolved.

pub mod amount;
pub mod cap;
pub mod id;
pub mod request;
pub mod tag;
