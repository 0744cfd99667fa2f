//! What an agent is told: the `RunFrame` of a frame, built from the columns of its job and layer.
//!
//! A frame that can't be built must never be booked: upstream's scheduler found a bad name or range after its commit, undid
//! the booking, and met the same frame again in the next pass, for ever. So a layer's columns are parsed once
//! ([`LaunchTemplate::parse`]), and each frame is built ([`LaunchTemplate::build`]) before its booking is written. After
//! that nothing about it can fail but the call.
//!
//! The values are those that Cuebot sends: memory in plain kibibytes, tokens replaced in Cuebot's order, the variables of
//! the scheduler above the layer's above the job's. Where upstream's Rust scheduler differed (memory 2.3 % low, `$` and `\`
//! in names) Cuebot's values and literal replacement are used.

mod error;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::amount::{Kb, Resources};
use crate::domain::id::{FrameId, JobId, LayerId, ProcId};
use crate::frame_set::FrameSet;

pub use error::BuildError;

/// [`RunFrame::pid`]: a process id that no process has. Until an agent written in Python knows the real one, a kill signals
/// the group of this one, and with 0 that is the agent's own.
pub const PID_OF_NOBODY: i32 = i32::MAX;

/// Longest command, all tokens replaced. Tokens multiply: names may hold tokens, and a spec may be as long by itself.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;

/// Most bytes of variables, names and values together. With the command they stay below 4 MiB, above which agents refuse a
/// message, whatever the host.
pub const ENVIRONMENT_BYTES_MAX: usize = 2 << 20;

/// Rows of `job_env` or `layer_env`: name and value, either possibly null.
pub type EnvRows = Vec<(Option<String>, Option<String>)>;

/// The columns of a layer and its job that a launch needs, as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchSource {
    /// `job.pk_job`
    pub job: JobId,
    /// `job.str_name`
    pub job_name: String,
    /// `job.str_show`
    pub show: String,
    /// `job.str_shot`
    pub shot: String,
    /// `job.str_user`
    pub user: String,
    /// `job.int_uid`
    pub uid: Option<i64>,
    /// `job.str_log_dir`
    pub log_dir: String,
    /// `job.str_loki_url`
    pub loki_url: Option<String>,
    /// `layer.pk_layer`
    pub layer: LayerId,
    /// `layer.str_name`
    pub layer_name: String,
    /// `layer.str_cmd`, with its tokens
    pub command: String,
    /// `layer.str_range`
    pub range: String,
    /// `layer.int_chunk_size`
    pub chunk_size: i64,
    /// `layer.b_threadable`
    pub threadable: bool,
    /// `layer.int_mem_min`, from which the limits for the agent are made
    pub memory: Kb,
    /// The job's variables. Of two with one name the later row wins.
    pub job_env: EnvRows,
    /// The layer's variables, above the job's.
    pub layer_env: EnvRows,
}

/// `queue.frame_memory_soft_limit` and `queue.frame_memory_hard_limit`: factors on the layer's minimum memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryFactors {
    /// What a frame should stay under.
    pub soft: f64,
    /// What it must stay under.
    pub hard: f64,
}

impl Default for MemoryFactors {
    /// Cuebot's fixed factors.
    fn default() -> Self {
        Self { soft: 1.6, hard: 2.0 }
    }
}

/// A frame to be built.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FrameRef {
    /// `frame.pk_frame`
    pub id: FrameId,
    /// `frame.str_name`: number, hyphen, layer name.
    pub name: Arc<str>,
    /// `frame.int_version` as read, for who books it; not part of what is sent. `None` in a dry plan.
    pub version: Option<i32>,
}

/// What is sent to an agent. Fields of the message that are not here are left unset: the obsolete directories, `gid`
/// (the agent's default), `attributes` and `children` (the agent's own), `ignore_nimby` (false: never a local booking).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFrame {
    /// The proc, by which Cuebot finds the frame again in every report.
    pub resource_id: ProcId,
    /// The job.
    pub job_id: JobId,
    /// Its name.
    pub job_name: Arc<str>,
    /// The frame.
    pub frame_id: FrameId,
    /// Its name.
    pub frame_name: Arc<str>,
    /// The layer.
    pub layer_id: LayerId,
    /// The command, all tokens replaced.
    pub command: String,
    /// The account that owns the job.
    pub user_name: Arc<str>,
    /// Directory of the log, on the render host.
    pub log_dir: Arc<str>,
    /// Show name.
    pub show: Arc<str>,
    /// Shot name.
    pub shot: Arc<str>,
    /// Milliseconds since 1970. Cuebot's grace for a frame without a proc counts from it.
    pub start_time_ms: i64,
    /// Positive; `None` for the agent's default account.
    pub uid: Option<i32>,
    /// Cores in hundredths, whole cores.
    pub num_cores: i32,
    /// Variables of the command.
    pub environment: BTreeMap<Arc<str>, Arc<str>>,
    /// Whole GPUs.
    pub num_gpus: i32,
    /// The host's operating system; an agent that uses containers picks an image by it.
    pub os: Arc<str>,
    /// What the frame should stay under.
    pub soft_memory_limit: Kb,
    /// What it must stay under.
    pub hard_memory_limit: Kb,
    /// [`PID_OF_NOBODY`].
    pub pid: i32,
    /// Where log lines go; empty for a file.
    pub loki_url: Arc<str>,
}

/// A layer made ready: its frames can be built from it.
#[derive(Clone, Debug)]
pub struct LaunchTemplate {
    job: JobId,
    job_name: Arc<str>,
    show: Arc<str>,
    shot: Arc<str>,
    user: Arc<str>,
    uid: Option<i32>,
    log_dir: Arc<str>,
    loki_url: Arc<str>,
    layer: LayerId,
    layer_name: Arc<str>,
    command: Box<str>,
    range: Box<str>,
    frames: FrameSet,
    chunk_size: i64,
    memory: Kb,
    /// Everything of the environment that is equal for all frames of the layer.
    environment: BTreeMap<Arc<str>, Arc<str>>,
}

impl LaunchTemplate {
    /// Checks what can be checked without a frame.
    pub fn parse(source: LaunchSource) -> Result<Self, BuildError> {
        let frames = FrameSet::parse(&source.range).map_err(|error| BuildError::Range {
            job: source.job_name.clone(),
            layer: source.layer_name.clone(),
            source: error,
        })?;
        if source.chunk_size < 1 {
            return Err(BuildError::ChunkSize {
                job: source.job_name,
                layer: source.layer_name,
                chunk_size: source.chunk_size,
            });
        }
        let uid = source
            .uid
            .map(|uid| match i32::try_from(uid) {
                Ok(valid) if valid > 0 => Ok(valid),
                _ => Err(BuildError::Uid { job: source.job_name.clone(), uid }),
            })
            .transpose()?;
        let environment = environment(&source);
        let bytes = environment.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > ENVIRONMENT_BYTES_MAX {
            let (job, layer) = (source.job_name, source.layer_name);
            return Err(BuildError::EnvironmentTooLarge { job, layer, bytes });
        }
        Ok(Self {
            job: source.job,
            job_name: source.job_name.into(),
            show: source.show.into(),
            shot: source.shot.into(),
            user: source.user.into(),
            uid,
            log_dir: source.log_dir.into(),
            loki_url: source.loki_url.unwrap_or_default().into(),
            layer: source.layer,
            layer_name: source.layer_name.into(),
            command: source.command.into(),
            range: source.range.into(),
            frames,
            chunk_size: source.chunk_size,
            memory: source.memory,
            environment,
        })
    }

    /// The layer.
    pub fn layer(&self) -> &LayerId {
        &self.layer
    }

    /// Builds the message for one frame on one host.
    ///
    /// `size` is what the proc reserves, `host_os` the host's operating system, `start_time_ms` now in milliseconds since
    /// 1970.
    pub fn build(
        &self,
        frame: &FrameRef,
        proc: &ProcId,
        host_os: &str,
        size: &Resources,
        start_time_ms: i64,
        factors: &MemoryFactors,
    ) -> Result<RunFrame, BuildError> {
        let chunk = self.chunk(frame)?;
        let num_cores =
            i32::try_from(size.cores.0).ok().filter(|cores| *cores > 0 && cores % 100 == 0).ok_or_else(|| {
                BuildError::Cores { job: self.job_name.to_string(), frame: frame.name.to_string(), cores: size.cores }
            })?;
        let num_gpus = i32::try_from(size.gpus.0).ok().filter(|gpus| *gpus >= 0).ok_or_else(|| BuildError::Gpus {
            job: self.job_name.to_string(),
            frame: frame.name.to_string(),
            gpus: size.gpus,
        })?;

        let mut environment = self.environment.clone();
        let own: [(&str, Arc<str>); 7] = [
            ("CUE_THREADS", size.cores.whole_cores().max(1).to_string().into()),
            ("CUE_MEMORY", size.memory.0.to_string().into()),
            ("CUE_GPUS", num_gpus.to_string().into()),
            ("CUE_GPU_MEMORY", size.gpu_memory.0.to_string().into()),
            ("CUE_IFRAME", chunk.number.to_string().into()),
            ("CUE_FRAME", frame.name.clone()),
            ("CUE_FRAME_ID", frame.id.as_str().into()),
        ];
        environment.extend(own.map(|(name, value)| (name.into(), value)));

        Ok(RunFrame {
            resource_id: proc.clone(),
            job_id: self.job.clone(),
            job_name: self.job_name.clone(),
            frame_id: frame.id.clone(),
            frame_name: frame.name.clone(),
            layer_id: self.layer.clone(),
            command: self.command(frame, &chunk)?,
            user_name: self.user.clone(),
            log_dir: self.log_dir.clone(),
            show: self.show.clone(),
            shot: self.shot.clone(),
            start_time_ms,
            uid: self.uid,
            num_cores,
            environment,
            num_gpus,
            os: host_os.into(),
            soft_memory_limit: scaled(self.memory, factors.soft),
            hard_memory_limit: scaled(self.memory, factors.hard),
            pid: PID_OF_NOBODY,
            loki_url: self.loki_url.clone(),
        })
    }

    /// Whether a message can be built for the frame, whatever its host: to be asked before a frame is claimed.
    pub fn check(&self, frame: &FrameRef) -> Result<(), BuildError> {
        let chunk = self.chunk(frame)?;
        self.command(frame, &chunk).map(drop)
    }

    /// The frame's number and where its chunk lies in the layer's range.
    fn chunk(&self, frame: &FrameRef) -> Result<Chunk, BuildError> {
        // A negative frame's name starts with the hyphen, so it has no number here; Cuebot can't start one either.
        let digits = frame.name.split('-').next().unwrap_or_default();
        let number = Some(digits)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse::<i32>().ok())
            .ok_or_else(|| BuildError::FrameName {
                job: self.job_name.to_string(),
                layer: self.layer_name.to_string(),
                frame: frame.name.to_string(),
            })?;
        let not_in_range = || BuildError::NotInRange {
            job: self.job_name.to_string(),
            frame: frame.name.to_string(),
            range: self.range.to_string(),
        };
        let at = self.frames.position(number).ok_or_else(not_in_range)?;
        let end = self.frames.chunk_end(at, self.chunk_size).ok_or_else(not_in_range)?;
        Ok(Chunk { number, at, end })
    }

    /// The command with its tokens replaced one after the other, literally, so that a text put in by an earlier token is
    /// searched by the later ones, as Cuebot does.
    fn command(&self, frame: &FrameRef, chunk: &Chunk) -> Result<String, BuildError> {
        let number = chunk.number.to_string();
        let spec = |text: &str| {
            // The spec is made only for who asks for it: of a large chunk it can be long.
            if !text.contains("#FRAMESPEC#") {
                return Ok(String::new());
            }
            self.frames.spec(chunk.at, self.chunk_size).map_err(|error| BuildError::Spec {
                job: self.job_name.to_string(),
                frame: frame.name.to_string(),
                source: error,
            })
        };
        let mut text = Cow::Borrowed(&*self.command);
        let too_long = || BuildError::CommandTooLong { job: self.job_name.to_string(), frame: frame.name.to_string() };
        let mut put = |token, value: &str| replace(&mut text, token, value).ok_or_else(too_long);
        put("#ZFRAME#", &format!("{number:0>4}"))?;
        put("#IFRAME#", &number)?;
        put("#FRAME_START#", &number)?;
        put("#FRAME_END#", &chunk.end.to_string())?;
        put("#FRAME_CHUNK#", &self.chunk_size.to_string())?;
        put("#LAYER#", &self.layer_name)?;
        put("#JOB#", &self.job_name)?;
        let spec = spec(&text)?;
        replace(&mut text, "#FRAMESPEC#", &spec).ok_or_else(too_long)?;
        replace(&mut text, "#FRAME#", &frame.name).ok_or_else(too_long)?;
        Ok(text.into_owned())
    }
}

struct Chunk {
    number: i32,
    /// Position of the number in the layer's range.
    at: i64,
    /// The last frame of the chunk, in the order of the range.
    end: i32,
}

/// Puts a value in for a token; `None`, and nothing done, if the text would be longer than [`COMMAND_BYTES_MAX`].
fn replace(text: &mut Cow<'_, str>, token: &str, value: &str) -> Option<()> {
    let tokens = text.matches(token).count();
    if tokens > 0 {
        if text.len() - tokens * token.len() + tokens * value.len() > COMMAND_BYTES_MAX {
            return None;
        }
        *text = Cow::Owned(text.replace(token, value));
    }
    Some(())
}

/// The variables that are equal for all frames of a layer: the job's, the layer's above them, ours above both.
fn environment(source: &LaunchSource) -> BTreeMap<Arc<str>, Arc<str>> {
    let given = source.job_env.iter().chain(&source.layer_env).filter_map(|(name, value)| {
        let name = Arc::from(name.as_deref()?);
        Some((name, Arc::from(value.as_deref().unwrap_or_default())))
    });
    let own: [(&str, &str); 11] = [
        ("CUE3", "1"),
        ("CUE_LOG_PATH", &source.log_dir),
        ("CUE_RANGE", &source.range),
        ("CUE_LAYER", &source.layer_name),
        ("CUE_JOB", &source.job_name),
        ("CUE_SHOW", &source.show),
        ("CUE_SHOT", &source.shot),
        ("CUE_USER", &source.user),
        ("CUE_JOB_ID", source.job.as_str()),
        ("CUE_LAYER_ID", source.layer.as_str()),
        ("CUE_THREADABLE", if source.threadable { "1" } else { "0" }),
    ];
    let mut all: BTreeMap<Arc<str>, Arc<str>> = given.collect();
    all.extend(own.map(|(name, value)| (name.into(), value.into())));
    all.insert("CUE_CHUNK".into(), source.chunk_size.to_string().into());
    all
}

/// A limit as Cuebot makes it: multiplied as a 64-bit float, the fraction dropped.
fn scaled(memory: Kb, factor: f64) -> Kb {
    Kb((memory.0 as f64 * factor) as i64)
}

#[cfg(test)]
mod tests;
