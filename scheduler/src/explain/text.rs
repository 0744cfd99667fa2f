//! Answers as pages for a terminal.

use std::collections::BTreeMap;

use cue_scheduler_core::reason::Reason;

use super::dry_pass::DryBooking;
use super::page::Page;
use super::words::{self, Context, clause, count};
use super::{Answer, Block, Depend, DryPass, DryPool, Explanation, LayerExplanation, PoolAnswer, Start, Unserved};

/// Layers of each kind that the page of a dry pass names for one pool; all are in the JSON.
const LAYERS: usize = 20;

/// The answer to `explain`.
pub fn answer(answer: &Answer) -> String {
    let mut page = Page::default();
    match answer {
        Answer::Job(explanation) => job(&mut page, explanation),
        Answer::NoSuchJob { asked, near } => {
            page.say(0, &format!("There is no job `{asked}`."));
            if !near.is_empty() {
                page.say(0, "Jobs with a name near to it:");
                for name in near {
                    page.say(2, name);
                }
            }
        }
        Answer::Several { asked, names } => {
            page.say(0, &format!("Several jobs have a name that begins with `{asked}`. The first of them:"));
            for name in names {
                page.say(2, name);
            }
        }
    }
    page.text()
}

fn job(page: &mut Page, job: &Explanation) {
    page.say(0, &format!("Job {}", job.name));
    page.say(
        2,
        &format!(
            "show {}, folder {}, facility {}, priority {}, {}, id {}",
            job.show, job.folder, job.facility, job.priority, job.state, job.id
        ),
    );
    for block in &job.blocks {
        page.say(2, &sentence(&block_words(block, job)));
    }
    if job.layers.is_empty() {
        page.say(2, "It has no layers.");
    }
    for layer in &job.layers {
        page.gap();
        layer_words(page, job, layer);
    }
    if job.depends_left_out > 0 {
        page.gap();
        page.say(0, &format!("{} more that frames wait for are not shown.", job.depends_left_out));
    }
}

fn block_words(block: &Block, job: &Explanation) -> String {
    match block {
        Block::Standstill(standstill) => format!("nothing is booked: {standstill}"),
        Block::NotPending => {
            format!("no pass looks at it: its state is {}, and only PENDING jobs are booked", job.state)
        }
        Block::Paused => "no pass looks at it: it is paused".to_owned(),
        Block::ShowNotManaged => {
            format!("no pass looks at it: show {} is booked by Cuebot (b_scheduler_managed is false)", job.show)
        }
        Block::ShowInactive => format!("no pass looks at it: show {} is not active", job.show),
        Block::OtherFacility(scope) => {
            format!("no pass looks at it: it is in facility {}, and this scheduler books in {scope} only", job.facility)
        }
    }
}

fn layer_words(page: &mut Page, job: &Explanation, layer: &LayerExplanation) {
    let frames = &layer.frames;
    let states: Vec<String> = [
        (frames.waiting, "waiting"),
        (frames.running, "running"),
        (frames.depend, "on a dependency"),
        (frames.dead, "dead"),
        (frames.eaten, "eaten"),
        (frames.checkpoint, "at a checkpoint"),
        (frames.succeeded, "done"),
    ]
    .into_iter()
    .filter(|(frames, _)| *frames > 0)
    .map(|(frames, state)| format!("{frames} {state}"))
    .collect();
    let states = if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) };
    page.say(0, &format!("Layer {}, {}{states}", layer.name, count(frames.total, "frame")));

    if let Some(Start { at, seconds }) = &layer.start {
        page.say(2, &format!("It may not start before {at} UTC, {} from now.", span(*seconds)));
    }
    if frames.waiting > 0 && layer.start.is_none() {
        if let Some(error) = &layer.unbuildable {
            let obstacle = cue_scheduler_core::reason::Obstacle::Unbuildable { error: error.clone() };
            waits(page, frames.waiting, &clause(&obstacle, &context(job, layer, "")));
        } else if let Some(unserved) = &layer.unserved {
            waits(page, frames.waiting, &unserved_words(unserved, job, layer));
        }
        for pool in &layer.pools {
            pool_words(page, job, layer, pool);
        }
        if job.blocks.is_empty() && layer.unbuildable.is_none() && layer.unserved.is_none() && layer.pools.is_empty() {
            page.say(2, "Its frames were gone from the waiting ones while this was asked.");
        }
    }
    if frames.depend > 0 {
        page.say(2, &format!("{} for what must end first:", waiting(frames.depend)));
        for depend in &layer.depends {
            page.say(4, &depend_words(depend));
        }
        if layer.depends.is_empty() {
            page.say(4, "no active dependency says what; Cuebot frees them when it looks at them again");
        }
    }
    for (n, which, words) in [
        (frames.dead, "Dead frames", "failed too often; somebody has to retry or eat them"),
        (frames.eaten, "Eaten frames", "were given up, and do not run again"),
        (frames.checkpoint, "Frames at a checkpoint", "are sent back to waiting by Cuebot"),
    ] {
        if n > 0 {
            page.say(2, &format!("{which} ({n}) {words}."));
        }
    }
}

fn context<'a>(job: &'a Explanation, layer: &'a LayerExplanation, pool: &'a str) -> Context<'a> {
    Context { show: &job.show, pool, folder: Some(&job.folder), tags: &layer.tags }
}

fn waiting(frames: impl Into<i64>) -> String {
    let frames = frames.into();
    format!("{} {}", count(frames, "frame"), if frames == 1 { "waits" } else { "wait" })
}

fn waits(page: &mut Page, frames: impl Into<i64>, why: &str) {
    page.say(2, &format!("{}: {why}.", waiting(frames)));
}

fn pool_words(page: &mut Page, job: &Explanation, layer: &LayerExplanation, pool: &PoolAnswer) {
    if pool.booked > 0 {
        let booked = count(pool.booked, "frame");
        page.say(
            2,
            &format!("{booked} would be booked now, on {} of {}.", count(pool.hosts as u32, "host"), pool.pool),
        );
    }
    if let Some((frames, obstacle)) = &pool.waiting {
        waits(page, *frames, &clause(obstacle, &context(job, layer, &pool.pool)));
    }
    if !pool.away.is_empty() {
        let away: Vec<String> = pool.away.iter().map(|(cause, hosts)| format!("{hosts} {cause}")).collect();
        page.say(4, &format!("Hosts of {} with its tags that may not be booked: {}.", pool.pool, away.join(", ")));
    }
}

fn unserved_words(unserved: &Unserved, job: &Explanation, layer: &LayerExplanation) -> String {
    let Explanation { show, facility, .. } = job;
    let tags = match &layer.tags[..] {
        [tag] => format!("tag {tag}"),
        tags => format!("tags {}", tags.join(", ")),
    };
    match unserved {
        Unserved::NoTags => "the layer has no tags, so that it meets no host".to_owned(),
        Unserved::TagsIgnored => format!("{tags}: ignored by this scheduler (scheduler.ignore_tags)"),
        Unserved::NoSubscription(allocations) => format!(
            "show {show} has no subscription in facility {facility}; hosts with the {tags} are in {}",
            allocations.join(", ")
        ),
        Unserved::OtherAllocations(allocations) => format!(
            "hosts with the {tags} are in {}, and show {show} has no subscription to that",
            allocations.join(", ")
        ),
        Unserved::OtherFacilities(allocations) => format!(
            "hosts with the {tags} are in {} only, and the job is in facility {facility}",
            allocations.join(", ")
        ),
        Unserved::UnknownTags(near) => {
            let meant = if near.is_empty() { String::new() } else { format!("; hosts have {}", near.join(", ")) };
            format!("no host has the {tags}{meant}")
        }
    }
}

fn depend_words(depend: &Depend) -> String {
    let what = match (&depend.layer, &depend.frame) {
        (Some(layer), Some(frame)) => format!("frame {frame} of layer {layer}"),
        (Some(layer), None) => format!("layer {layer}"),
        (None, _) => "all of it".to_owned(),
    };
    let place = depend.job.as_ref().map_or_else(String::new, |job| format!(" of job {job}"));
    let what = match (&depend.layer, &depend.job) {
        (None, Some(job)) => format!("job {job}"),
        _ => format!("{what}{place}"),
    };
    format!("{what}, {} not done", count(depend.left, "frame"))
}

/// A time span in the largest unit that leaves a whole number.
fn span(seconds: f64) -> String {
    let seconds = seconds.ceil() as i64;
    match seconds {
        s if s >= 2 * 86_400 => count(s / 86_400, "day"),
        s if s >= 2 * 3_600 => count(s / 3_600, "hour"),
        s if s >= 120 => count(s / 60, "minute"),
        s => count(s, "second"),
    }
}

fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    format!("{}.", first.chain(letters).collect::<String>())
}

/// The answer to `plan`.
pub fn dry_pass(answer: &DryPass) -> String {
    let mut page = Page::default();
    if let Some(standstill) = answer.standstill {
        page.say(0, &format!("Nothing is booked: {standstill}."));
    } else if answer.pools.is_empty() {
        page.say(
            0,
            "There are no pools: no managed and active show has a subscription to an allocation with tagged hosts.",
        );
    }
    for (at, pool) in answer.pools.iter().enumerate() {
        if at > 0 {
            page.gap();
        }
        dry_pool(&mut page, pool);
    }
    page.text()
}

fn dry_pool(page: &mut Page, pool: &DryPool) {
    let frames: u32 = pool.booked.iter().map(|booking| booking.frames).sum();
    let left: u64 = pool.waiting.iter().map(|waiting| u64::from(waiting.frames)).sum();
    page.say(
        0,
        &format!(
            "Pool {}: {}, {} with waiting frames; {} would be booked, {left} would wait.",
            pool.pool,
            count(pool.hosts as u32, "host"),
            count(pool.layers as u32, "layer"),
            count(frames, "frame")
        ),
    );
    let mut booked: Vec<Booked> = Vec::new();
    for booking in &pool.booked {
        match booked.last_mut() {
            Some(last) if last.first.job == booking.job && last.first.layer == booking.layer => last.add(booking),
            _ => booked.push(Booked::of(booking)),
        }
    }
    for booked in booked.iter().take(LAYERS) {
        page.say(2, &booked.words());
    }
    more(page, booked.len());
    for waiting in pool.waiting.iter().take(LAYERS) {
        let context = Context { show: &waiting.show, pool: &pool.pool, folder: None, tags: &[] };
        let why = clause(&waiting.obstacle, &context);
        page.say(2, &format!("{} / {}: {} waiting: {why}.", waiting.job, waiting.layer, waiting.frames));
    }
    more(page, pool.waiting.len());
    let mut reasons: BTreeMap<Reason, (usize, u64)> = BTreeMap::new();
    for waiting in &pool.waiting {
        let sum = reasons.entry(waiting.obstacle.reason()).or_default();
        *sum = (sum.0 + 1, sum.1 + u64::from(waiting.frames));
    }
    for (reason, (layers, frames)) in reasons {
        let frames = count(i64::try_from(frames).unwrap_or(i64::MAX), "frame");
        page.say(2, &format!("waiting for {}: {frames} of {}", reason.label(), count(layers as u32, "layer")));
    }
}

fn more(page: &mut Page, all: usize) {
    if all > LAYERS {
        page.say(2, &format!("… and {} (all are in the answer to --json)", count((all - LAYERS) as u32, "more layer")));
    }
}

/// The bookings of a layer.
struct Booked<'a> {
    first: &'a DryBooking,
    frames: u32,
    hosts: std::collections::BTreeSet<&'a str>,
}

impl<'a> Booked<'a> {
    fn of(first: &'a DryBooking) -> Self {
        Self { first, frames: first.frames, hosts: std::iter::once(first.host.as_ref()).collect() }
    }

    fn add(&mut self, booking: &'a DryBooking) {
        self.frames += booking.frames;
        self.hosts.insert(&booking.host);
    }

    fn words(&self) -> String {
        let size = &self.first.size;
        let mut hosts: Vec<&str> = self.hosts.iter().take(3).copied().collect();
        if self.hosts.len() > hosts.len() {
            hosts.push("…");
        }
        format!(
            "{} / {}: {} on {} ({}), from {} and {} each",
            self.first.job,
            self.first.layer,
            count(self.frames, "frame"),
            count(self.hosts.len() as u32, "host"),
            hosts.join(", "),
            count(size.cores.whole_cores(), "core"),
            words::memory(size.memory)
        )
    }
}
