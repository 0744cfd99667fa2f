#![allow(clippy::too_many_lines, reason = "a table is as long as it has cases")]

mod bounds;
mod checker;
mod epvm;
mod host_limits;
mod numbers;
mod properties;
mod reasons;
mod regressions;
