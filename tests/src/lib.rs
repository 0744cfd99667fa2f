//! Real and simulated parts around cue-scheduler, shared by tests, demo and benchmarks.
//!
//! Real: PostgreSQL ([`postgres`]), a pooler before it ([`pgbouncer`]), the render agent from its Python package ([`python`],
//! [`rqd_agent`]), Prometheus' tool ([`promtool`]); what a machine lacks of them is fetched ([`debian`]). Simulated: what Cuebot does to the database ([`cuebot_sim`]), and any number of render hosts ([`farm_sim`]). A
//! farm is put into a database by the [`loader`] and checked by the [`auditor`], which shares no code with the scheduler.
//! [`harness`] puts them together, [`scenarios`] lets things happen to them, and [`chaos`] everything at once. [`kubernetes`] is a
//! real cluster, on which [`e2e`] does everything from the installation on.

pub mod auditor;
pub mod authority;
pub mod bench;
pub mod chaos;
pub mod cuebot_sim;
pub mod debian;
pub mod demo;
pub mod e2e;
pub mod farm_sim;
pub mod harness;
pub mod interrupt;
pub mod kubernetes;
pub mod loader;
pub mod pg_proxy;
pub mod pgbouncer;
pub mod postgres;
pub mod promtool;
pub mod python;
pub mod rqd_agent;
pub mod scenarios;
