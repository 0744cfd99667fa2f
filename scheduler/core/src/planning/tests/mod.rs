#![allow(clippy::too_many_lines, reason = "a table is as long as it has cases")]

mod checker;
mod numbers;
mod properties;
mod reasons;
mod regressions;
