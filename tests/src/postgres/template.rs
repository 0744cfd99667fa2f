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
    /// Its rows may be there already. OpenCue's seed data repeats three rows that its own migrations insert.
    pub may_repeat: bool,
}

impl Piece {
    fn of_schema(name: String, sql: String) -> Self {
        Self { name, sql, may_repeat: false }
    }
}

/// The pieces of the template, in the order in which they are to be run.
pub fn pieces(migrations: Option<&Path>) -> anyhow::Result<Vec<Piece>> {
    match migrations {
        None => Ok(SCHEMA.iter().map(|(name, sql)| Piece::of_schema((*name).to_owned(), (*sql).to_owned())).collect()),
        Some(folder) => from_migrations(folder),
    }
}

/// `V<version>__*.sql` in the order of their versions, then the seed data that lies in the folder or beside it, if any.
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
    let mut pieces = Vec::new();
    for (_, path) in files {
        pieces.push(Piece::of_schema(path.display().to_string(), read(&path)?));
    }
    let beside = folder.parent().unwrap_or(folder);
    let seeds = [folder.join("seed_data.sql"), beside.join("seed_data.sql")];
    if let Some(seed) = seeds.into_iter().find(|seed| seed.is_file()) {
        let name = seed.display().to_string();
        let repeatable = |sql| Piece { name: name.clone(), sql, may_repeat: true };
        pieces.extend(statements(&read(&seed)?).into_iter().map(repeatable));
    }
    Ok(pieces)
}

/// The statements of a file of rows: texts in single quotes and line comments are known, function bodies are not.
fn statements(sql: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let (mut in_text, mut in_comment) = (false, false);
    let mut characters = sql.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' if in_comment => in_comment = false,
            _ if in_comment => continue,
            // A doubled quote inside a text closes and opens it again, which comes to the same.
            '\'' => in_text = !in_text,
            '-' if !in_text && characters.peek() == Some(&'-') => {
                in_comment = true;
                continue;
            }
            ';' if !in_text => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(statement) = found.last_mut() {
            statement.push(character);
        }
    }
    found.into_iter().map(|statement| statement.trim().to_owned()).filter(|statement| !statement.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_run_in_the_order_of_their_numbers_with_the_seed_last() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("migrations");
        std::fs::create_dir(&folder).unwrap();
        for name in ["V10__ten.sql", "V2__two.sql", "V1__one.sql", "README.md", "V3_1__three.sql"] {
            std::fs::write(folder.join(name), name).unwrap();
        }
        std::fs::write(base.path().join("seed_data.sql"), "one; two;\n").unwrap();
        let sql: Vec<String> = pieces(Some(&folder)).unwrap().into_iter().map(|piece| piece.sql).collect();
        assert_eq!(sql, ["V1__one.sql", "V2__two.sql", "V3_1__three.sql", "V10__ten.sql", "one", "two"]);
    }

    #[test]
    fn a_file_of_rows_is_cut_where_statements_end() {
        let cases: [(&str, &[&str]); 5] = [
            ("", &[]),
            ("a; b", &["a", "b"]),
            ("INSERT 'x;y';\n\nINSERT 'it''s; so';", &["INSERT 'x;y'", "INSERT 'it''s; so'"]),
            ("-- not; this\na;-- nor 'that\nb;", &["a", "b"]),
            ("INSERT '--x; y' - 1;", &["INSERT '--x; y' - 1"]),
        ];
        for (sql, expected) in cases {
            assert_eq!(statements(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_folder_without_migrations_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = pieces(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("holds no V*.sql files"), "{error}");
    }
}
