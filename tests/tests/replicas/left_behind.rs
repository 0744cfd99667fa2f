//! Procs that were booked and never launched.
