//! Operators that are killed, and several of them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::operator::{LIMIT, Operator, Place};

/// Everything of a namespace that does not differ from run to run.
fn state(place: &Place) -> Vec<Value> {
    let kinds =
        "deployments,services,configmaps,poddisruptionbudgets,serviceaccounts,networkpolicies,horizontalpodautoscalers";
    let ours = place
        .plane
        .list(&place.namespace, kinds)
        .into_iter()
        .filter(|object| object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "cue-scheduler-operator");
    let clean = |object: Value| {
        let metadata = &object["metadata"];
        let mut spec = object["spec"].clone();
        for field in ["clusterIP", "clusterIPs"] {
            spec.as_object_mut().map(|spec| spec.remove(field));
        }
        spec["template"]["metadata"]["annotations"]
            .as_object_mut()
            .map(|words| words.remove("scheduler.opencue.io/secret-revision"));
        json!({ "kind": object["kind"], "name": metadata["name"], "labels": metadata["labels"], "data": object["data"], "spec": spec })
    };
    ours.map(clean).collect()
}

#[test]
fn killed_again_and_again_it_ends_the_same() {
    let spec = json!({
        "facilities": [{ "name": "spi", "replicas": 2 }, { "name": "Los Angeles" }, { "name": "lax", "autoscaling": { "maxReplicas": 3 } }],
        "networkPolicy": { "enabled": true },
    });
    let calm = Place::new("calm");
    let user = calm.plane.operator("calm");
    let _operator = Operator::of(&user, "calm");
    calm.put("farm", &spec);
    calm.wait_ready("farm");
    let expected = state(&calm);

    let stormy = Place::new("stormy");
    let user = stormy.plane.operator("stormy");
    stormy.put("farm", &spec);
    for millis in (0..400).step_by(40) {
        let mut operator = Operator::of(&user, "stormy");
        stormy.wait("it has begun", || operator.page("/healthz").0 == 200);
        std::thread::sleep(Duration::from_millis(millis));
        operator.kill();
    }
    let _operator = Operator::of(&user, "stormy");
    stormy.wait_ready("farm");
    assert_eq!(state(&stormy), expected);
}

/// After each of its writes in turn, as the API server's audit log tells them.
#[test]
fn killed_after_any_write_it_ends_the_same() {
    let spec = json!({
        "facilities": [{ "name": "spi", "replicas": 2 }, { "name": "lax", "autoscaling": { "maxReplicas": 3 } }],
        "networkPolicy": { "enabled": true },
    });
    let calm = Place::new("step-0");
    let user = calm.plane.operator("step-0");
    calm.put("farm", &spec);
    let begun = calm.plane.audited();
    let operator = Operator::of(&user, "step-0");
    calm.wait_ready("farm");
    let writes = calm.plane.writes_since(&user, begun);
    drop(operator);
    let expected = state(&calm);
    // An account, a policy, four objects of each facility and an autoscaler, and a status at least.
    assert!(writes >= 12, "{writes}");
    let mut killed = 0;
    for after in 1..=12 {
        let namespace = format!("step-{after}");
        let place = Place::new(&namespace);
        place.put("farm", &spec);
        let begun = calm.plane.audited();
        let mut operator = Operator::of(&user, &namespace);
        let started = Instant::now();
        let mut written = 0;
        while written < after && started.elapsed() < LIMIT {
            written = calm.plane.writes_since(&user, begun);
        }
        operator.kill();
        assert!(written >= after, "{written} writes");
        // The status is the last: before it, something was left to do.
        killed += usize::from(place.get("schd/farm")["status"].is_null());
        let _operator = Operator::of(&user, &namespace);
        place.wait_ready("farm");
        assert_eq!(state(&place), expected, "killed after {written} writes");
    }
    println!("killed after each of 12 writes, {killed} times before its first status; {writes} writes in calm");
    assert!(killed > 6, "{killed}");
}

#[test]
fn one_of_two_works_and_the_other_takes_over() {
    let place = Place::new("election");
    let user = place.plane.operator("election");
    let begin = |name: &str| {
        let identity = format!("--identity={name}");
        Operator::start(&user, &["--namespace=election", "--lease-namespace=election", &identity])
    };
    let holder = || place.get("lease/cue-scheduler-operator")["spec"]["holderIdentity"].clone();
    let mut first = begin("first");
    place.wait("the first works", || holder() == "first");
    let mut second = begin("second");
    place.wait("the second is ready to", || second.page("/readyz").0 == 200);
    place.put("farm", &json!({}));
    place.wait_ready("farm");
    assert_eq!(holder(), "first");

    first.kill();
    let killed = Instant::now();
    place.put("farm", &json!({ "facilities": [{ "name": "spi", "replicas": 2 }] }));
    place.wait("the second has done what was left", || place.get("deployment/farm-spi")["spec"]["replicas"] == 2);
    let taken = killed.elapsed();
    println!("taken over {:.1} s after a kill", taken.as_secs_f64());
    // A lease of 15 s has to run out.
    assert!(taken < 4 * Duration::from_secs(20));
    assert_eq!(holder(), "second");

    let mut third = begin("third");
    place.wait("the third is ready to", || third.page("/readyz").0 == 200);
    let stopped = Instant::now();
    assert_eq!(second.stop(), 0);
    place.wait("the third works", || holder() == "third");
    println!("taken over {:.1} s after a stop", stopped.elapsed().as_secs_f64());
    assert!(third.is_running() && stopped.elapsed() < LIMIT);
}
