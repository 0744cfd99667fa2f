//! stub
#![allow(missing_docs)]
use crate::domain::amount::*;
use crate::domain::id::*;
use std::sync::Arc;
#[derive(Clone, Debug)]
pub struct FrameRef {
    pub id: FrameId,
    pub name: Arc<str>,
    pub version: Option<i32>,
}
#[derive(Clone, Debug)]
pub struct RunFrame {
    pub layer_id: LayerId,
    pub job_id: JobId,
}
#[derive(Clone, Copy, Debug)]
pub struct MemoryFactors {
    pub soft: f64,
    pub hard: f64,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct BuildError;
#[derive(Clone, Debug)]
pub struct LaunchSource {
    pub job_id: JobId,
    pub job_name: Arc<str>,
    pub show: Arc<str>,
    pub shot: Arc<str>,
    pub user: Arc<str>,
    pub uid: Option<i64>,
    pub log_dir: Arc<str>,
    pub loki_url: Option<Arc<str>>,
    pub layer_id: LayerId,
    pub layer_name: Arc<str>,
    pub command: Arc<str>,
    pub range: Arc<str>,
    pub chunk_size: i64,
    pub threadable: bool,
    pub memory: Kb,
    pub job_env: Vec<(Option<String>, Option<String>)>,
    pub layer_env: Vec<(Option<String>, Option<String>)>,
}
#[derive(Clone, Debug)]
pub struct LaunchTemplate(LaunchSource);
impl LaunchTemplate {
    pub fn parse(s: LaunchSource) -> Result<Self, BuildError> {
        Ok(Self(s))
    }
    pub fn build(
        &self,
        _f: &FrameRef,
        _p: &ProcId,
        _os: &str,
        _s: &Resources,
        _now: i64,
        _m: &MemoryFactors,
    ) -> Result<RunFrame, BuildError> {
        Ok(RunFrame {
            layer_id: self.0.layer_id.clone(),
            job_id: self.0.job_id.clone(),
        })
    }
}
