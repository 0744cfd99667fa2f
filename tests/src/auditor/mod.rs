//! stub
pub struct Audit; impl std::fmt::Display for Audit { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "stub") } }
impl Audit { /// x
 pub fn is_clean(&self) -> bool { true } }
/// x
pub async fn audit(_p: &sqlx::PgPool) -> anyhow::Result<Audit> { Ok(Audit) }
