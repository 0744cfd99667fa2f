//! A farm cut into very many small groups by tags.

use std::net::Ipv4Addr;

use crate::loader::amount::{Cores, Memory};
use crate::loader::description::{FarmDescription, HostGroup, JobDescription, LayerDescription};
use crate::loader::seeded::Draws;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct TagMax;

const TAGS: usize = 120;
const HOSTS: usize = 60;
const TAGS_OF_HOST: usize = 4;
const JOBS: usize = 12;

/// Combinations of tags with waiting work that must be seen at once.
const GROUPS_MIN: f64 = 80.0;

/// Share of planned frames that the booking may refuse.
const LOST_MAX: f64 = 0.10;

#[tonic::async_trait(?Send)]
impl Scenario for TagMax {
    fn name(&self) -> &'static str {
        "TAGMAX"
    }

    fn demanded(&self) -> &'static str {
        "120 tags, at least 80 groups of waiting work (5,000 frames in full): at most one planned frame of ten is lost before it is \
         booked"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(3, 42);
        let mut draws = Draws::new(setting.seed);
        let mut farm = FarmDescription::from_yaml(
            "
facilities: [{name: local, allocations: [{name: local.a, tag: a}, {name: local.b, tag: b}, {name: local.c, tag: c}]}]
shows:
  - name: alpha
    subscriptions: [{allocation: local.a, burst: 1000}, {allocation: local.b, burst: 1000}, {allocation: local.c, burst: 1000}]",
        )?;
        farm.seed = setting.seed;
        for host in 0..HOSTS {
            // Every tag has a host, and each host two more tags by chance.
            let own = [host, host + HOSTS];
            let more = draws.distinct(TAGS, TAGS_OF_HOST).into_iter().filter(|tag| !own.contains(tag));
            let tags = own.into_iter().chain(more).take(TAGS_OF_HOST).map(name).collect();
            farm.hosts.push(HostGroup {
                allocation: format!("local.{}", ["a", "b", "c"][host % 3]),
                first_address: Some(Ipv4Addr::new(127, 1, 0, host as u8 + 1)),
                cores: Cores::whole(8),
                memory: Memory::gib(32),
                manual_tags: tags,
                ..HostGroup::default()
            });
        }
        for job in 0..JOBS {
            let mut layers = Vec::new();
            for layer in 0..TAGS / JOBS {
                let tag = job * (TAGS / JOBS) + layer;
                let mut tags = vec![name(tag)];
                // Half of the layers may run elsewhere too.
                if draws.below(2) == 0 {
                    tags.push(name((tag + 1 + draws.below(TAGS - 1)) % TAGS));
                }
                layers.push(LayerDescription {
                    name: format!("l{layer}"),
                    command: "sleep 0.3".to_owned(),
                    range: format!("1-{frames}"),
                    tags,
                    threadable: false,
                    ..LayerDescription::default()
                });
            }
            farm.jobs.push(JobDescription {
                name: format!("j{job}"),
                show: "alpha".to_owned(),
                layers,
                ..JobDescription::default()
            });
        }
        Ok(Parts::new(setting, farm)?.with_one_scheduler())
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let groups = stage
            .until("80 groups have waiting work", async |stage| {
                Ok(stage.metric("scheduler_active_tags", "").await? >= GROUPS_MIN)
            })
            .await;
        stage.demand("at least 80 groups of waiting work at once", groups.is_ok(), format!("{groups:?}"));
        stage.until_done().await?;
        let booked = stage.metric("scheduler_frames_dispatched_total", "").await?;
        let refused = stage.metric("scheduler_booking_refused_total", "").await?;
        let lost = refused / (booked + refused);
        let told = format!("{refused} of {} planned frames ({:.1} %)", booked + refused, lost * 100.0);
        stage.demand("at most 10 % of the planned frames are lost", lost <= LOST_MAX, &told);
        stage.see(format!("lost: {told}"));
        Ok(())
    }
}

fn name(tag: usize) -> String {
    format!("tag{tag}")
}
