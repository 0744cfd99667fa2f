//! The way to PostgreSQL: TLS with the server's certificate looked at as configured, certificates of clients, and a password
//! from a file that changes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use cue_scheduler::reporter::told;
use cue_scheduler::store::{Password, Store, Target, Tls};
use cue_scheduler_config::SslMode;
use sqlx::{AssertSqlSafe, PgPool};
use testbed::authority::Authority;
use testbed::harness::Scheduler;
use testbed::postgres::{Options, Server, free_port};
use tokio::sync::OnceCell;

/// Who may come in and how: the superuser that makes databases, one with a password, one with a certificate.
const HBA: &str = "
host all postgres 127.0.0.1/32 trust
host all cuebot 127.0.0.1/32 scram-sha-256
hostssl all artist 127.0.0.1/32 cert
";

/// A server with TLS, whose certificate is for `localhost` and for no address, and what its clients need.
struct Farm {
    server: Server,
    folder: tempfile::TempDir,
}

impl Farm {
    async fn new() -> Self {
        // One that is shared is never dropped, and should not stay in the machine's folder of temporary files.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (authority, stranger) = (Authority::new("a studio").unwrap(), Authority::new("somebody else").unwrap());
        let server = authority.certify("localhost", None, &[]).unwrap();
        let client = authority.certify("artist", None, &[]).unwrap();
        for (name, content) in [
            ("ca.pem", &authority.certificate),
            ("strange-ca.pem", &stranger.certificate),
            ("artist.pem", &client.certificate),
            ("artist.key", &client.key),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let file = |name: &str, content: &str| (name.to_owned(), content.to_owned());
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let server = Server::start(Options {
            settings: vec![setting("ssl", "on"), setting("ssl_ca_file", "root.crt")],
            files: vec![
                file("server.crt", &server.certificate),
                file("server.key", &server.key),
                file("root.crt", &authority.certificate),
                file("pg_hba.conf", HBA),
            ],
            ..Options::default()
        })
        .await
        .unwrap();
        let pool = server.database().await.unwrap().pool().await.unwrap();
        sqlx::raw_sql("CREATE ROLE cuebot SUPERUSER LOGIN PASSWORD 'one'; CREATE ROLE artist SUPERUSER LOGIN")
            .execute(&pool)
            .await
            .unwrap();
        Self { server, folder }
    }

    /// The server that these tests share.
    async fn shared() -> &'static Self {
        static SHARED: OnceCell<Farm> = OnceCell::const_new();
        SHARED.get_or_init(Self::new).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A database, and how to reach it by a name of the certificate.
    async fn target(&self, mode: SslMode, authority: Option<&str>) -> (PgPool, Target) {
        let database = self.server.database().await.unwrap();
        let tls = Tls { mode, root_cert: authority.map(|name| self.path(name)), client: None };
        let target = Target { host: "localhost".to_owned(), tls, ..database.target(4) };
        (database.pool().await.unwrap(), target)
    }
}

/// Whether the connections that the store opens use TLS; or why there are none.
async fn reach(pool: &PgPool, target: &Target) -> Result<bool, String> {
    let store = Store::new(target);
    store.reach().await.map_err(|error| told(&error))?;
    store.ping().await.map_err(|error| told(&error))?;
    let uses = sqlx::query_scalar(
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE application_name = $1 AND datname = $2",
    )
    .bind(&target.member)
    .bind(&target.database)
    .fetch_one(pool)
    .await;
    store.close().await;
    Ok(uses.unwrap())
}

#[tokio::test]
async fn tls_is_used_as_far_as_configured() {
    let farm = Farm::shared().await;
    for (mode, authority, uses_tls) in [
        (SslMode::Disable, None, false),
        (SslMode::Prefer, None, true),
        (SslMode::Require, None, true),
        (SslMode::Require, Some("ca.pem"), true),
        (SslMode::VerifyCa, Some("ca.pem"), true),
        (SslMode::VerifyFull, Some("ca.pem"), true),
    ] {
        let (pool, target) = farm.target(mode, authority).await;
        assert_eq!(reach(&pool, &target).await, Ok(uses_tls), "{mode:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_is_not_trusted_is_refused_with_the_key_to_look_at() {
    let farm = Farm::shared().await;
    for (mode, authority) in [
        (SslMode::Require, Some("strange-ca.pem")),
        (SslMode::VerifyCa, Some("strange-ca.pem")),
        (SslMode::VerifyFull, Some("strange-ca.pem")),
        // The system's authorities have not certified it either.
        (SslMode::VerifyFull, None),
    ] {
        let (pool, target) = farm.target(mode, authority).await;
        let error = reach(&pool, &target).await.unwrap_err();
        assert!(error.contains("UnknownIssuer") && error.contains("database.ssl_root_cert"), "{mode:?}: {error}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_only_where_the_name_counts() {
    let farm = Farm::shared().await;
    for (mode, expected) in [(SslMode::VerifyCa, Ok(true)), (SslMode::VerifyFull, Err(()))] {
        let (pool, target) = farm.target(mode, Some("ca.pem")).await;
        let target = Target { host: "127.0.0.1".to_owned(), ..target };
        let reached = reach(&pool, &target).await;
        assert_eq!(reached.clone().map_err(|_| ()), expected, "{mode:?}: {reached:?}");
        if let Err(error) = reached {
            assert!(error.contains("127.0.0.1") && error.contains("database.db_host"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required_and_taken_where_it_is_preferred() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let pool = database.pool().await.unwrap();
    let target = |mode| Target { tls: Tls { mode, ..Tls::default() }, ..database.target(4) };
    assert_eq!(reach(&pool, &target(SslMode::Prefer)).await, Ok(false));
    let error = reach(&pool, &target(SslMode::Require)).await.unwrap_err();
    assert!(error.contains("the server has TLS turned off"), "{error}");
}

#[tokio::test]
async fn a_client_that_shows_its_certificate_comes_in_without_a_password() {
    let farm = Farm::shared().await;
    let (pool, target) = farm.target(SslMode::VerifyFull, Some("ca.pem")).await;
    let nobody = Target { user: "artist".to_owned(), ..target };
    let client = Some((farm.path("artist.pem"), farm.path("artist.key")));
    let artist = Target { tls: Tls { client, ..nobody.tls.clone() }, ..nobody.clone() };
    assert_eq!(reach(&pool, &artist).await, Ok(true));
    let error = reach(&pool, &nobody).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn the_authorities_of_the_system_can_be_replaced_by_one_file() {
    let farm = Farm::shared().await;
    let (_pool, target) = farm.target(SslMode::VerifyFull, None).await;
    for (file, words) in [("ca.pem", "ready"), ("strange-ca.pem", "UnknownIssuer")] {
        let authority = farm.path(file).display().to_string();
        let variables = [("OPENSCHEDULER_DATABASE__SSLMODE", "verify-full"), ("SSL_CERT_FILE", &authority)];
        let folder = tempfile::tempdir().unwrap();
        let scheduler = Scheduler::start("s", &target, free_port().unwrap(), &variables, folder.path()).unwrap();
        for _ in 0..600 {
            if scheduler.log().contains(words) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(scheduler.log().contains(words), "{file}: {}", scheduler.log());
        assert_eq!(scheduler.stop().await.unwrap(), 0);
    }
}

/// A running scheduler that reaches the database with a password from a file, over TLS.
#[tokio::test]
async fn a_password_that_changes_is_taken_from_its_file_while_the_program_runs() {
    let farm = Farm::new().await;
    let (pool, target) = farm.target(SslMode::VerifyFull, Some("ca.pem")).await;
    let file = farm.path("password");
    let target = Target { user: "cuebot".to_owned(), password: Password::File(file.clone()), ..target };
    std::fs::write(&file, "wrong\n").unwrap();

    let authority = farm.path("ca.pem").display().to_string();
    let variables =
        [("OPENSCHEDULER_DATABASE__SSLMODE", "verify-full"), ("OPENSCHEDULER_DATABASE__SSL_ROOT_CERT", &authority)];
    let folder = tempfile::tempdir().unwrap();
    let scheduler = Scheduler::start("s", &target, free_port().unwrap(), &variables, folder.path()).unwrap();
    let status = async || scheduler.get("/readyz").await.unwrap_or_default();
    let until = async |wanted: u16, words: &str| {
        for _ in 0..600 {
            let (code, text) = status().await;
            if code == wanted && text.contains(words) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not {wanted} {words} after a minute; the log:\n{}", scheduler.log());
    };
    until(503, "password authentication failed").await;
    // At the start each try reads the file anew.
    std::fs::write(&file, "one\r\n").unwrap();
    until(200, "").await;

    sqlx::raw_sql(AssertSqlSafe("ALTER ROLE cuebot PASSWORD 'two'".to_owned())).execute(&pool).await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'cuebot'";
    sqlx::query(end).execute(&pool).await.unwrap();
    until(503, "password authentication failed").await;
    std::fs::write(&file, "two").unwrap();
    until(200, "").await;
    assert!(scheduler.log().contains("Failed to connect to database"), "{}", scheduler.log());
    assert!(!["wrong", "two"].iter().any(|secret| scheduler.log().contains(secret)), "{}", scheduler.log());
    assert_eq!(scheduler.stop().await.unwrap(), 0);
}
