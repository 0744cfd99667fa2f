//! What the template database is made from: our own schema, or a folder of migrations.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// The variable that names a folder with Cuebot's own migrations (`V*.sql`), so that anyone who has OpenCue's sources can run
/// everything on the real schema.
pub const MIGRATIONS_VARIABLE: &str = "OPENCUE_MIGRATIONS";

/// Our schema, in load order.
const SCHEMA: [(&str, &str); 11] = [
    ("tables.sql", include_str!("../../schema/tables.sql")),
    ("indexes.sql", include_str!("../../schema/indexes.sql")),
    ("functions.sql", include_str!("../../schema/functions.sql")),
    ("triggers/frame.sql", include_str!("../../schema/triggers/frame.sql")),
    ("triggers/job.sql", include_str!("../../schema/triggers/job.sql")),
    ("triggers/layer.sql", include_str!("../../schema/triggers/layer.sql")),
    ("triggers/host_and_proc.sql", include_str!("../../schema/triggers/host_and_proc.sql")),
    ("triggers/caps.sql", include_str!("../../schema/triggers/caps.sql")),
    ("triggers/local.sql", include_str!("../../schema/triggers/local.sql")),
    ("triggers/folder_and_history.sql", include_str!("../../schema/triggers/folder_and_history.sql")),
    ("views.sql", include_str!("../../schema/views.sql")),
];

/// A named piece of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// For messages.
    pub name: String,
    /// One or more statements.
    pub sql: String,
}

/// The pieces of the template, in the order in which they are to be run.
pub fn pieces(migrations: Option<&Path>) -> anyhow::Result<Vec<Piece>> {
    match migrations {
        None => {
            Ok(SCHEMA.iter().map(|(name, sql)| Piece { name: (*name).to_owned(), sql: (*sql).to_owned() }).collect())
        }
        Some(folder) => from_migrations(folder),
    }
}

/// `V<version>__*.sql` in the order of their versions. Seed data that lies beside them is left alone: tests bring rows of their own,
/// and some have the names of seeded ones (`local.general`), which may be there once only.
fn from_migrations(folder: &Path) -> anyhow::Result<Vec<Piece>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{MIGRATIONS_VARIABLE}={}", folder.display()))?;
    let mut files: Vec<(Vec<u32>, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let version = name.strip_prefix('V')?.strip_suffix(".sql")?.split("__").next()?;
            let version: Option<Vec<u32>> = version.split(['.', '_']).map(|part| part.parse().ok()).collect();
            Some((version?, path))
        })
        .collect();
    ensure!(!files.is_empty(), "{MIGRATIONS_VARIABLE}={} holds no V*.sql files", folder.display());
    files.sort();
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    files.into_iter().map(|(_, path)| Ok(Piece { name: path.display().to_string(), sql: read(&path)? })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_run_in_the_order_of_their_numbers_and_nothing_else_does() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("migrations");
        std::fs::create_dir(&folder).unwrap();
        for name in ["V10__ten.sql", "V2__two.sql", "V1__one.sql", "README.md", "V3_1__three.sql"] {
            std::fs::write(folder.join(name), name).unwrap();
        }
        std::fs::write(base.path().join("seed_data.sql"), "one; two;\n").unwrap();
        let sql: Vec<String> = pieces(Some(&folder)).unwrap().into_iter().map(|piece| piece.sql).collect();
        assert_eq!(sql, ["V1__one.sql", "V2__two.sql", "V3_1__three.sql", "V10__ten.sql"]);
    }

    #[test]
    fn a_folder_without_migrations_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = pieces(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("holds no V*.sql files"), "{error}");
    }
}
