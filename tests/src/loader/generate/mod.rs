//! Farms of known shapes. Each is a pure function of its parameters: the same ones give the same farm, ids and all.

mod apart;
mod drain;
mod mix;

pub use apart::{ApartShape, apart};
pub use drain::{DrainShape, drain};
pub use mix::{MixShape, mix};
