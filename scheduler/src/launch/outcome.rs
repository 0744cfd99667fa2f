//! What the result of a call says about the frame.
//!
//! Refused for certain is only what the agent itself said, or what provably was not sent. Everything else is unknown: the
//! agent may have started the frame and lost its answer. The rule is `docs/launch-protocol.md`, "What a call's result means".

use std::error::Error;

use tonic::{Code, Status};

use super::connection::{Sent, Spent};

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The agent accepted the frame.
    Launched,
    /// The agent said no.
    RefusedForCertain {
        /// The status code, as a label.
        code: &'static str,
        /// What the agent said.
        message: String,
    },
    /// Nothing was sent.
    NotSent {
        /// Why.
        message: String,
    },
    /// The frame may run.
    Unknown {
        /// What is known of it.
        message: String,
    },
}

/// Reads the result of a call, beside the status that was seen on the wire.
pub(super) fn of(result: Result<(), Status>, sent: &Sent) -> Outcome {
    let Err(status) = result else {
        return Outcome::Launched;
    };
    if has_cause::<Spent>(&status) {
        return Outcome::NotSent { message: chain(&status) };
    }
    let by_agent = status.source().is_none() && sent.code() == Some(status.code() as i32);
    // A server's machinery sends these by itself, for a handler that was cut off at any point of its work.
    let of_machinery = matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded | Code::Unavailable);
    if by_agent && !of_machinery {
        Outcome::RefusedForCertain { code: label(status.code()), message: status.message().to_owned() }
    } else {
        Outcome::Unknown { message: chain(&status) }
    }
}

/// Whether an error, or one that caused it, is an `E`.
fn has_cause<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(<dyn Error>::is::<E>)
}

/// An error and what caused it, from the outside in.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// An error and its causes, each once, in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in causes(error) {
        let text = match error.downcast_ref::<Status>() {
            Some(status) => format!("{}: {}", label(status.code()), status.message()),
            None => error.to_string(),
        };
        if texts.last() != Some(&text) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// A status code as a label for metrics.
pub(super) fn label(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
