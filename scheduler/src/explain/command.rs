//! `explain`, `plan` and `members` on the command line: from a configuration and a question to a text.

use std::sync::Arc;

use anyhow::bail;
use cue_scheduler_config::Config;
use serde_json::Value;

use super::{Answer, Inquirer, dry_pass, json, text};
use crate::app;
use crate::feed::Standstill;
use crate::ownership::ask;
use crate::store::{Store, Target};

/// What is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// Why does this job wait?
    Job(String),
    /// What would a pass do?
    Plan,
    /// Who works on what?
    Members,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// For standard output.
    pub text: String,
    /// Whether there is what was asked for.
    pub found: bool,
}

/// Answers from the database that the configuration names. An error says why it can't be asked.
pub async fn answer(config: &Config, question: &Question, as_json: bool) -> anyhow::Result<Reply> {
    // A few statements, one after the other.
    let store = Store::new(&Target { pool_size: 2, booking_connections: 1, ..app::target(config) });
    store.reach().await?;
    let standstill = Standstill::of(&store).await?;
    if let Some(Standstill::NoManagedFlag) = standstill {
        bail!("{}", Standstill::NoManagedFlag);
    }
    let scope = match &config.scheduler.facility {
        None => None,
        Some(name) => match store.facility(name).await? {
            Some(id) => Some((id, name.clone())),
            None => bail!("scheduler.facility: there is no facility `{name}` (the name is compared exactly)"),
        },
    };
    let inquirer =
        Inquirer { store, scope, read: Arc::new(app::read_settings(config)), policy: app::policy(config), standstill };
    let reply = match question {
        Question::Job(job) => {
            let answer = inquirer.explain(job).await?;
            let text = if as_json { pretty(&json::answer(&answer)) } else { text::answer(&answer) };
            Reply { text, found: matches!(answer, Answer::Job(_)) }
        }
        Question::Members => {
            let owners = ask::Inquiry {
                store: inquirer.store.clone(),
                facility: inquirer.scope.as_ref().map(|(id, _)| id.clone()),
                ignored_tags: inquirer.ignored_tags().clone(),
                hosts_max: config.scheduler.pool_hosts_max,
            };
            let owners = owners.ask().await?;
            Reply { text: if as_json { pretty(&owners.json()) } else { owners.text() }, found: true }
        }
        Question::Plan => {
            let answer = dry_pass(&inquirer).await?;
            let text = if as_json { pretty(&json::dry_pass(&answer)) } else { text::dry_pass(&answer) };
            Reply { text, found: true }
        }
    };
    inquirer.store.close().await;
    Ok(reply)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
