//! Each situation in words.

use super::farm::{Farm, run, said};

/// Each job, and what `explain` says of it.
pub const SAID: [(&str, &[&str]); 27] = [
    ("runs", &["Layer comp, 4 frames: 4 waiting", "4 frames would be booked now, on 1 host of local.general."]),
    ("paused", &["No pass looks at it: it is paused."]),
    ("unmanaged", &["No pass looks at it: show beta is booked by Cuebot (b_scheduler_managed is false)."]),
    ("inactive", &["No pass looks at it: show gamma is not active."]),
    ("finished", &["No pass looks at it: its state is FINISHED, and only PENDING jobs are booked."]),
    ("abroad", &["No pass looks at it: it is in facility other, and this scheduler books in local only."]),
    (
        "unsubscribed",
        &["1 frame waits: hosts with the tag closed are in local.closed, and show alpha has no subscription to that."],
    ),
    (
        "subscribed-abroad",
        &[
            "1 frame waits: show delta has no subscription in facility local; hosts with the tag general are in local.general.",
        ],
    ),
    (
        "tag-abroad",
        &["1 frame waits: hosts with the tag elsewhere are in other.pool only, and the job is in facility local."],
    ),
    ("ignored", &["1 frame waits: tag old: ignored by this scheduler (scheduler.ignore_tags)."]),
    ("mistyped", &["1 frame waits: no host has the tag genral; hosts have general."]),
    ("untagged", &["1 frame waits: the layer has no tags, so that it meets no host."]),
    ("later", &["It may not start before 2", "UTC, 26 hours from now."]),
    (
        "after",
        &[
            "Layer comp, 3 frames: 3 on a dependency",
            "3 frames wait for what must end first: job runs, 4 frames not done",
        ],
    ),
    (
        "chain",
        &[
            "2 frames wait: the job may use no cores: its maximum is 0 or less.",
            "2 frames wait for what must end first: layer sim, 2 frames not done",
        ],
    ),
    (
        "failed",
        &[
            "Layer comp, 3 frames: 1 dead, 1 eaten, 1 at a checkpoint",
            "Dead frames (1) failed too often; somebody has to retry or eat them.",
        ],
    ),
    (
        "unbuildable",
        &[
            "2 frames wait: they can't be launched as the layer is written: the frame range of layer comp of job unbuildable is unusable: ",
        ],
    ),
    (
        "frozen",
        &["1 frame waits: show alpha may use no cores of allocation local.frozen: the burst of its subscription is 0."],
    ),
    (
        "burst",
        &[
            "1 frame would be booked now, on 1 host of local.tight.",
            "1 frame waits: the subscription of show alpha to allocation local.tight is full: 2 of 3 cores booked, 2 wanted.",
        ],
    ),
    ("capped", &["1 frame waits: the job has reached its maximum of cores: 0 of 1 core booked, 2 wanted."]),
    ("foldered", &["1 frame waits: folder shots has reached its maximum of cores: 0 of 1 core booked, 2 wanted."]),
    ("limited", &["1 frame waits: limit licence is full: 0 of 0 frames run under it."]),
    ("windows", &["1 frame waits: of the 2 hosts of allocation local.general with its tags none runs windows."]),
    (
        "large",
        &[
            "1 frame waits: of the 2 hosts of allocation local.general that it may use none is large enough, even when idle: \
             general-",
            "comes nearest, with 32 GiB of the 33 GiB of memory wanted.",
        ],
    ),
    (
        "busy",
        &[
            "1 frame waits: the 2 hosts of allocation local.busy that it may use are busy: busy-1 comes nearest, with 1 of the 4 \
           cores wanted.",
        ],
    ),
    (
        "locked",
        &[
            "1 frame waits: allocation local.locked has no host that may be booked.",
            "Hosts of local.locked with its tags that may not be booked: 2 locked.",
        ],
    ),
    (
        "unthreaded",
        &[
            "1 frame waits: thread mode All gives every core of a host to one frame, the layer is not threadable, and allocation \
           local.whole has no other host for it (1 host).",
        ],
    ),
];

#[tokio::test]
async fn each_situation_is_told_in_words_by_a_role_that_may_only_read() {
    let farm = Farm::new("reader_words").await;
    let file = farm.config("reader_words", 0);
    for (job, words) in SAID {
        let (code, text) = run(&file, &["explain", job]).await;
        assert_eq!(code, 0, "{job}: {text}");
        for word in words {
            assert!(said(&text).contains(word), "{job}: `{word}` is not in:\n{text}");
        }
    }
}

#[tokio::test]
async fn a_page_reads_from_the_job_to_its_layers() {
    let farm = Farm::new("reader_page").await;
    let (_, text) = run(&farm.config("reader_page", 0), &["explain", "chain"]).await;
    let id = &farm.loaded.jobs["chain"];
    let page = format!(
        "\
Job chain
  show alpha, folder alpha, facility local, priority 1, PENDING, id
    {id}

Layer sim, 2 frames: 2 waiting
  2 frames wait: the job may use no cores: its maximum is 0 or less.

Layer comp, 2 frames: 2 on a dependency
  2 frames wait for what must end first:
    layer sim, 2 frames not done
"
    );
    assert_eq!(text, page);
}
