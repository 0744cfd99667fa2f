//! Facilities, allocations, shows, subscriptions, folders and limits: the few rows to which everything else refers.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, bail};
use sqlx::PgConnection;

use super::description::FarmDescription;
use super::seeded::Ids;

/// What names lead to.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub facilities: BTreeMap<String, String>,
    /// The facility of jobs that name none.
    pub facility_default: Option<String>,
    pub allocations: BTreeMap<String, Allocation>,
    pub shows: BTreeMap<String, String>,
    /// By `show/folder`.
    pub folders: BTreeMap<String, Folder>,
    pub limits: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Allocation {
    pub id: String,
    pub tag: String,
}

#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub id: String,
    pub department: String,
}

/// The most characters of `folder.str_name`.
const FOLDER_NAME_LENGTH: usize = 36;

/// The name of a show's root folder: the show's, as far as it fits.
pub(super) fn root_folder(show: &str) -> String {
    show.chars().take(FOLDER_NAME_LENGTH).collect()
}

impl Places {
    pub fn show(&self, name: &str) -> anyhow::Result<&str> {
        look_up(&self.shows, "show", name).map(String::as_str)
    }

    pub fn folder(&self, show: &str, folder: Option<&str>) -> anyhow::Result<&Folder> {
        let folder = folder.map_or_else(|| root_folder(show), str::to_owned);
        look_up(&self.folders, "folder", &format!("{show}/{folder}"))
    }

    pub fn facility(&self, name: Option<&str>) -> anyhow::Result<&str> {
        match name {
            Some(name) => look_up(&self.facilities, "facility", name).map(String::as_str),
            None => self
                .facility_default
                .as_deref()
                .context("a job names no facility, and there is not exactly one to take; name one"),
        }
    }

    pub fn allocation(&self, name: &str) -> anyhow::Result<&Allocation> {
        look_up(&self.allocations, "allocation", name)
    }

    pub fn limit(&self, name: &str) -> anyhow::Result<&str> {
        look_up(&self.limits, "limit", name).map(String::as_str)
    }
}

fn look_up<'a, T>(map: &'a BTreeMap<String, T>, kind: &str, name: &str) -> anyhow::Result<&'a T> {
    map.get(name).with_context(|| {
        let known: Vec<&str> = map.keys().take(8).map(String::as_str).collect();
        format!("no {kind} is called `{name}`; there are: {}", known.join(", "))
    })
}

/// Inserts them. The names of one kind must differ.
pub(super) async fn insert(connection: &mut PgConnection, farm: &FarmDescription, ids: Ids) -> anyhow::Result<Places> {
    let mut places = Places::default();
    let department = ids.id("dept", &["farm"]);
    sqlx::query(include_str!("queries/insert_dept.sql"))
        .bind(&department)
        .bind("farm")
        .execute(&mut *connection)
        .await?;
    insert_facilities(connection, farm, ids, &mut places).await?;
    insert_shows(connection, farm, ids, &department, &mut places).await?;
    for limit in &farm.limits {
        let id = ids.id("limit", &[&limit.name]);
        sqlx::query(include_str!("queries/insert_limit.sql"))
            .bind(&id)
            .bind(&limit.name)
            .bind(limit.max)
            .bind(limit.hosts)
            .execute(&mut *connection)
            .await?;
        put(&mut places.limits, "limit", limit.name.clone(), id)?;
    }
    Ok(places)
}

fn put<T>(map: &mut BTreeMap<String, T>, kind: &str, name: String, value: T) -> anyhow::Result<()> {
    if map.contains_key(&name) {
        bail!("two {kind}s are called `{name}`; their names must differ");
    }
    map.insert(name, value);
    Ok(())
}

async fn insert_facilities(
    connection: &mut PgConnection,
    farm: &FarmDescription,
    ids: Ids,
    places: &mut Places,
) -> anyhow::Result<()> {
    for facility in &farm.facilities {
        let facility_id = ids.id("facility", &[&facility.name]);
        sqlx::query(include_str!("queries/insert_facility.sql"))
            .bind(&facility_id)
            .bind(&facility.name)
            .execute(&mut *connection)
            .await?;
        for allocation in &facility.allocations {
            let id = ids.id("alloc", &[&allocation.name]);
            let tag = allocation.tag.as_ref().unwrap_or(&allocation.name);
            sqlx::query(include_str!("queries/insert_alloc.sql"))
                .bind(&id)
                .bind(&allocation.name)
                .bind(tag)
                .bind(&facility_id)
                .bind(allocation.default)
                .execute(&mut *connection)
                .await
                .with_context(|| format!("allocation `{}`", allocation.name))?;
            let tag = tag.clone();
            put(&mut places.allocations, "allocation", allocation.name.clone(), Allocation { id, tag })?;
        }
        places.facility_default.get_or_insert_with(|| facility_id.clone());
        put(&mut places.facilities, "facility", facility.name.clone(), facility_id)?;
    }
    Ok(())
}

async fn insert_shows(
    connection: &mut PgConnection,
    farm: &FarmDescription,
    ids: Ids,
    department: &str,
    places: &mut Places,
) -> anyhow::Result<()> {
    for show in &farm.shows {
        let show_id = ids.id("show", &[&show.name]);
        sqlx::query(include_str!("queries/insert_show.sql"))
            .bind(&show_id)
            .bind(&show.name)
            .bind(show.managed)
            .bind(show.active)
            .execute(&mut *connection)
            .await?;
        put(&mut places.shows, "show", show.name.clone(), show_id.clone())?;
        sqlx::query(include_str!("queries/insert_point.sql"))
            .bind(ids.id("point", &[&show.name]))
            .bind(department)
            .bind(&show_id)
            .execute(&mut *connection)
            .await?;
        for subscription in &show.subscriptions {
            let allocation = places.allocation(&subscription.allocation)?;
            sqlx::query(include_str!("queries/insert_subscription.sql"))
                .bind(ids.id("subscription", &[&show.name, &subscription.allocation]))
                .bind(&allocation.id)
                .bind(&show_id)
                .bind(subscription.size.to_centicores())
                .bind(subscription.burst.to_centicores())
                .execute(&mut *connection)
                .await
                .with_context(|| format!("subscription of `{}` to `{}`", show.name, subscription.allocation))?;
        }
        insert_folders(connection, show, &show_id, ids, department, places).await?;
    }
    Ok(())
}

async fn insert_folders(
    connection: &mut PgConnection,
    show: &super::description::ShowDescription,
    show_id: &str,
    ids: Ids,
    department: &str,
    places: &mut Places,
) -> anyhow::Result<()> {
    let root = root_folder(&show.name);
    let mut of_show: HashMap<&str, String> = HashMap::new();
    let all = std::iter::once((root.as_str(), None, None, None)).chain(show.folders.iter().map(|folder| {
        let parent = folder.parent.as_deref().unwrap_or(&root);
        (folder.name.as_str(), Some(parent), folder.max_cores, folder.max_gpus)
    }));
    for (name, parent, max_cores, max_gpus) in all {
        let id = ids.id("folder", &[&show.name, name]);
        let parent = parent
            .map(|parent| {
                of_show.get(parent).with_context(|| {
                    format!("folder `{}/{name}` is below `{parent}`, which must come before it", show.name)
                })
            })
            .transpose()?;
        sqlx::query(include_str!("queries/insert_folder.sql"))
            .bind(&id)
            .bind(parent)
            .bind(show_id)
            .bind(department)
            .bind(name)
            .execute(&mut *connection)
            .await
            .with_context(|| format!("folder `{}/{name}`", show.name))?;
        sqlx::query(include_str!("queries/set_folder_caps.sql"))
            .bind(&id)
            .bind(i32::try_from(max_cores.map_or(-1, super::amount::Cores::to_centicores))?)
            .bind(max_gpus.unwrap_or(-1))
            .execute(&mut *connection)
            .await?;
        let folder = Folder { id: id.clone(), department: department.to_owned() };
        put(&mut places.folders, "folder", format!("{}/{name}", show.name), folder)?;
        of_show.insert(name, id);
    }
    Ok(())
}

/// What a running farm holds.
pub(super) async fn read(connection: &mut PgConnection) -> anyhow::Result<Places> {
    let pairs = |rows: Vec<(String, String)>| rows.into_iter().collect::<BTreeMap<_, _>>();
    let facilities: Vec<(String, String)> =
        sqlx::query_as("SELECT str_name, pk_facility FROM facility").fetch_all(&mut *connection).await?;
    let shows: Vec<(String, String)> =
        sqlx::query_as("SELECT str_name, pk_show FROM show").fetch_all(&mut *connection).await?;
    let limits: Vec<(String, String)> =
        sqlx::query_as("SELECT str_name, pk_limit_record FROM limit_record").fetch_all(&mut *connection).await?;
    let folders: Vec<(String, String, String, bool, String)> =
        sqlx::query_as(include_str!("queries/read_folders.sql")).fetch_all(&mut *connection).await?;
    let mut places = Places {
        facility_default: match facilities.as_slice() {
            [(_, id)] => Some(id.clone()),
            _ => None,
        },
        facilities: pairs(facilities),
        shows: pairs(shows),
        limits: pairs(limits),
        ..Places::default()
    };
    for (show, name, id, root, department) in folders {
        let name = if root { root_folder(&show) } else { name };
        places.folders.insert(format!("{show}/{name}"), Folder { id, department });
    }
    Ok(places)
}
