//! Every number that is read or added to, at the ends of its column and around zero.

use super::world::{Sick, World};

/// Columns of hosts, jobs, and shows: table, column, how wide, and which row by the name of the sick thing.
const HOST_COLUMNS: [(&str, &str, Width); 13] = [
    ("host", "int_cores", Width::Wide),
    ("host", "int_cores_idle", Width::Wide),
    ("host", "int_mem", Width::Wide),
    ("host", "int_mem_idle", Width::Wide),
    ("host", "int_gpus", Width::Wide),
    ("host", "int_gpus_idle", Width::Wide),
    ("host", "int_gpu_mem", Width::Wide),
    ("host", "int_gpu_mem_idle", Width::Wide),
    ("host", "int_thread_mode", Width::Narrow),
    ("host_stat", "int_mem_total", Width::Wide),
    ("host_stat", "int_mem_free", Width::Wide),
    ("host_stat", "int_load", Width::Wide),
    ("host_stat", "int_gpu_mem_free", Width::Wide),
];

const JOB_COLUMNS: [(&str, &str, Width); 32] = [
    ("job", "int_uid", Width::Wide),
    ("layer", "int_cores_min", Width::Wide),
    ("layer", "int_cores_max", Width::Narrow),
    ("layer", "int_mem_min", Width::Wide),
    ("layer", "int_gpus_min", Width::Wide),
    ("layer", "int_gpu_mem_min", Width::Wide),
    ("layer", "int_chunk_size", Width::Wide),
    ("layer", "int_dispatch_order", Width::Wide),
    ("layer_stat", "int_waiting_count", Width::Wide),
    ("layer_stat", "int_running_count", Width::Wide),
    ("layer_stat", "int_total_count", Width::Wide),
    ("layer_resource", "int_cores", Width::Wide),
    ("layer_resource", "int_gpus", Width::Narrow),
    ("job_stat", "int_waiting_count", Width::Wide),
    ("job_stat", "int_running_count", Width::Wide),
    ("job_resource", "int_cores", Width::Wide),
    ("job_resource", "int_max_cores", Width::Narrow),
    ("job_resource", "int_gpus", Width::Narrow),
    ("job_resource", "int_max_gpus", Width::Narrow),
    ("job_resource", "int_priority", Width::Narrow),
    ("folder_resource", "int_cores", Width::Narrow),
    ("folder_resource", "int_max_cores", Width::Narrow),
    ("folder_resource", "int_gpus", Width::Narrow),
    ("folder_resource", "int_max_gpus", Width::Narrow),
    ("limit_record", "int_max_value", Width::Narrow),
    ("frame", "int_version", Width::Narrow),
    ("frame", "int_retries", Width::Wide),
    ("frame", "int_exit_status", Width::Wide),
    ("frame", "int_dispatch_order", Width::Wide),
    ("frame", "int_layer_order", Width::Narrow),
    ("frame", "int_number", Width::Wide),
    ("frame", "int_cores", Width::Narrow),
];

const SHOW_COLUMNS: [(&str, &str, Width); 5] = [
    ("subscription", "int_cores", Width::Narrow),
    ("subscription", "int_burst", Width::Wide),
    ("subscription", "int_gpus", Width::Narrow),
    ("point", "int_cores", Width::Narrow),
    ("point", "int_gpus", Width::Narrow),
];

#[derive(Clone, Copy)]
enum Width {
    /// 32 bits.
    Narrow,
    /// 64 bits.
    Wide,
}

/// The name of the sick thing of a column.
fn name(table: &str, column: &str) -> String {
    format!(
        "{}-{}",
        table.replace("_resource", "-r").replace('_', ""),
        column.trim_start_matches("int_").replace('_', "")
    )
}

fn row(table: &str, name: &str) -> String {
    let of_job = format!("pk_job = (SELECT pk_job FROM job WHERE str_name = '{name}')");
    match table {
        "host" | "limit_record" | "job" => format!("str_name = '{name}'"),
        "host_stat" => format!("pk_host = (SELECT pk_host FROM host WHERE str_name = '{name}')"),
        "folder_resource" => format!("pk_folder = (SELECT pk_folder FROM folder WHERE str_name = '{name}')"),
        "subscription" | "point" => format!("pk_show = (SELECT pk_show FROM show WHERE str_name = '{name}')"),
        _ => of_job,
    }
}

/// A farm with one sick thing for each column, which holds this value, and healthy work.
async fn healthy_work_goes_on_beside(narrow: i32, wide: i64) {
    let names =
        |columns: &[(&str, &str, Width)]| columns.iter().map(|(table, column, _)| name(table, column)).collect();
    let sick = Sick { hosts: names(&HOST_COLUMNS), jobs: names(&JOB_COLUMNS), shows: names(&SHOW_COLUMNS) };
    let world = World::new(&sick).await;
    let poison: Vec<String> = HOST_COLUMNS
        .iter()
        .chain(&JOB_COLUMNS)
        .chain(&SHOW_COLUMNS)
        .map(|(table, column, width)| {
            let value = match width {
                Width::Narrow => i64::from(narrow),
                Width::Wide => wide,
            };
            format!("UPDATE {table} SET {column} = {value} WHERE {}", row(table, &name(table, column)))
        })
        .collect();
    world.write(&poison).await;
    let heard = world.schedule().await;
    assert!(heard.errors.is_empty(), "{:#?}", heard.errors);
    println!("refused: {}", heard.refusals);
}

macro_rules! at {
    ($($name:ident: $narrow:expr, $wide:expr;)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            healthy_work_goes_on_beside($narrow, $wide).await;
        }
    )+};
}

at! {
    columns_at_their_lower_end_spoil_nothing_else: i32::MIN, i64::MIN;
    columns_of_minus_one_spoil_nothing_else: -1, -1;
    columns_of_zero_spoil_nothing_else: 0, 0;
    columns_of_one_spoil_nothing_else: 1, 1;
    columns_just_beyond_the_narrow_ones_spoil_nothing_else: i32::MAX - 1, i64::from(i32::MAX) + 1;
    columns_at_their_upper_end_spoil_nothing_else: i32::MAX, i64::MAX;
}
