//! What `tubeway up` says where it cannot start. Nothing is damaged by it.

mod support;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use support::tubeway;

/// Runs `up` where it must fail; what it said.
fn up(state: &Path, change: impl FnOnce(&mut Command)) -> String {
    let mut command = tubeway();
    command
        .args(["up", "--quiet", "--no-demo"])
        .env("TUBEWAY_STATE", state)
        .stdin(Stdio::null());
    change(&mut command);
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: "), "{said}");
    said
}

fn contains(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

#[test]
fn a_port_in_use_is_named_with_the_flag_that_chooses_another() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let said = up(dir.path(), |c| {
        c.args(["--api-port", &address.port().to_string()]);
    });
    contains(&said, &[&address.to_string(), "in use", "--api-port"]);
}

#[test]
fn a_missing_java_is_said_with_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let said = up(dir.path(), |c| {
        c.env("PATH", "/nonexistent").env_remove("JAVA_HOME");
    });
    contains(&said, &["needs Java 17", "apt-get install openjdk-17"]);
}

#[test]
fn a_java_that_is_too_old_is_named_with_its_version() {
    let dir = tempfile::tempdir().unwrap();
    let java = dir.path().join("bin/java");
    std::fs::create_dir_all(java.parent().unwrap()).unwrap();
    std::fs::write(
        &java,
        "#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n",
    )
    .unwrap();
    std::fs::set_permissions(&java, std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = up(&dir.path().join("state"), |c| {
        c.env("JAVA_HOME", dir.path()).env("PATH", "/nonexistent");
    });
    contains(&said, &["bin/java", "Java 11", "17 or newer"]);
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let said = up(&dir.path().join("file/state"), |_| {});
    contains(&said, &["file/state", "--state-dir"]);
}

#[test]
fn a_full_disk_is_said_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| {
        Command::new("mount")
            .args(args)
            .arg(dir.path())
            .status()
            .unwrap()
    };
    assert!(
        mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).success(),
        "this test mounts a small file system, which needs root"
    );
    let said = std::panic::catch_unwind(|| up(&dir.path().join("state"), |_| {}));
    let left = std::fs::read_dir(dir.path().join("state")).map(Iterator::count);
    assert!(
        Command::new("umount")
            .arg(dir.path())
            .status()
            .unwrap()
            .success()
    );
    contains(
        &said.unwrap(),
        &["MB left", "1024 MB are needed", "--state-dir"],
    );
    assert_eq!(left.unwrap(), 1, "only the lock");
}

#[test]
fn a_flag_s_wrong_value_is_answered_with_what_it_takes() {
    for (flag, value, part) in [
        ("--cert-ttl", "soon", "as in 24h"),
        ("--api-port", "http", "invalid digit"),
    ] {
        let output = tubeway().args(["up", flag, value]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        contains(&said, &[flag, value, part]);
    }
    let output = tubeway()
        .args(["connect", "--as", "checkout"])
        .output()
        .unwrap();
    contains(
        &String::from_utf8_lossy(&output.stderr),
        &["--as", "<namespace>/<service account>"],
    );
}

#[test]
fn a_wrong_flag_is_named_with_what_it_takes() {
    for (flag, value, parts) in [
        ("--cert-ttl", "25h", ["25h", "between 60s and 24h"]),
        ("--cert-ttl", "1d", ["1d", "s, m or h, as in 24h"]),
        ("--tag", "a b", ["a b", "128 at most"]),
        ("--trust-domain", "Not.Mine", ["Not.Mine", "trust"]),
        (
            "--namespace",
            "Not_Mine",
            ["Not_Mine", "lower-case letters"],
        ),
    ] {
        let output = tubeway().args(["render", flag, value]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        contains(&said, &parts);
        contains(&said, &[flag]);
    }
}
