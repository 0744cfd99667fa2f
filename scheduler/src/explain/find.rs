//! Which job is meant.

use cue_scheduler_config::distance;

use crate::store::explain::JobRow;
use crate::store::{Store, StoreError};

/// Most names that are offered.
const NAMES: usize = 5;

/// What was found.
pub(super) enum Found {
    One(Box<JobRow>),
    None { near: Vec<String> },
    Several { names: Vec<String> },
}

/// Looks for a job by id, name, or the beginning of a name. Finished jobs keep their names, so of several with the whole name
/// the one that isn't finished is meant, or the newest; a beginning has to fit one unfinished job, or one job at all.
pub(super) async fn find(store: &Store, asked: &str) -> Result<Found, StoreError> {
    let rows = store.jobs_like(asked).await?;
    if let Some(row) = rows.first().filter(|row| row.exact) {
        return Ok(Found::One(Box::new(row.clone())));
    }
    let unfinished: Vec<&JobRow> = rows.iter().filter(|row| row.str_state != "FINISHED").collect();
    let candidates = if unfinished.is_empty() { rows.iter().collect() } else { unfinished };
    match candidates[..] {
        [] => Ok(Found::None { near: near(asked, store.job_names().await?) }),
        [row] => Ok(Found::One(Box::new(row.clone()))),
        _ => Ok(Found::Several { names: candidates.iter().take(NAMES).map(|row| row.job_name.clone()).collect() }),
    }
}

/// The names nearest to what was asked for. Names of jobs begin with show, shot and user, and differ at the end: what is
/// contained counts as near whatever its length.
fn near(asked: &str, names: Vec<String>) -> Vec<String> {
    let lower = asked.to_lowercase();
    let mut ranked: Vec<(usize, String)> = names
        .into_iter()
        .filter_map(|name| {
            let other = name.to_lowercase();
            let edits = if !lower.is_empty() && other.contains(&lower) { 0 } else { distance(&lower, &other) };
            (edits <= (asked.chars().count() / 3).max(2)).then_some((edits, name))
        })
        .collect();
    ranked.sort();
    ranked.dedup();
    ranked.into_iter().take(NAMES).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_near_by_edits_by_case_or_by_what_they_contain() {
        let names = || ["alpha-sh010-ann_comp", "alpha-sh020-ann_comp", "beta-sq1-bob_sim"].map(str::to_owned).to_vec();
        assert_eq!(near("alpha-sh010-ann_cmop", names()), ["alpha-sh010-ann_comp", "alpha-sh020-ann_comp"]);
        assert_eq!(near("BETA-sq1-bob_sim", names()), ["beta-sq1-bob_sim"]);
        assert_eq!(near("sq1", names()), ["beta-sq1-bob_sim"]);
        assert_eq!(near("entirely different", names()), Vec::<String>::new());
    }
}
