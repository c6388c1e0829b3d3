//! `init`: from an access key to a configuration that mounts; nothing is written that does not work, nothing is overwritten.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use cxonefs::sim::{Endpoint, Fault};

use crate::harness::{Mount, Sandbox, Tenant, Tool, cxonefs, plain, sh};

/// Flags that lead to a tenant on loopback.
fn sets(tenant: &Tenant, sandbox: &Sandbox) -> Vec<String> {
    let text = tenant.config_toml(&sandbox.state(), &sandbox.cache(), &sandbox.secret());
    let url = text.lines().find_map(|line| line.strip_prefix("issuer = ")).unwrap().trim_matches('"').to_owned();
    let keys = ["tenant.issuer", "tenant.auth_endpoint", "tenant.api_endpoint", "tenant.playback_endpoint"];
    let directories =
        [format!("state.dir={}", sandbox.state().display()), format!("cache.dir={}", sandbox.cache().display())];
    let mut sets: Vec<String> = keys.map(|key| format!("{key}={url}")).into();
    sets.extend(directories);
    sets.extend(["tree.since=2026-11-01".into(), "tree.timezone=America/New_York".into()]);
    sets.into_iter().flat_map(|set| [String::from("--set"), set]).collect()
}

fn init(tenant: &Tenant, sandbox: &Sandbox, config: &PathBuf) -> Tool {
    let id = tenant.settings().credentials.access_key_id.clone();
    let command = cxonefs(&sandbox.home()).args(["init", "--access-key-id", &id, "--config"]).arg(config);
    command.args(sets(tenant, sandbox))
}

#[test]
fn a_script_makes_a_configuration_that_mounts() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::empty();
    let config = sandbox.path("etc/config.toml");
    let secret = &tenant.settings().credentials.access_key_secret;
    let refused = init(&tenant, &sandbox, &config).run();
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains("CXONEFS_ACCESS_KEY_SECRET"), "{}", refused.stderr);
    let wrong = init(&tenant, &sandbox, &config).env("CXONEFS_ACCESS_KEY_SECRET", "wrong").run();
    assert_eq!(wrong.code(), 1, "{}", wrong.stderr);
    assert!(!config.exists(), "nothing is written that does not work");

    let done = init(&tenant, &sandbox, &config).env("CXONEFS_ACCESS_KEY_SECRET", secret).ok();
    assert!(
        done.stdout.contains("the login works") && done.stdout.contains("cxonefs mount --config"),
        "{}",
        done.stdout
    );
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(!text.contains(secret.as_str()) && text.contains("\naccess_key_secret_file = \"secret\"\n"), "{text}");
    for path in [&config, &config.with_file_name("secret")] {
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600, "{}", path.display());
    }
    let again = init(&tenant, &sandbox, &config).env("CXONEFS_ACCESS_KEY_SECRET", secret).run();
    assert_eq!(again.code(), 1);
    assert!(again.stderr.contains("exists") && again.stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), text);

    cxonefs(&sandbox.home()).args(["doctor", "--config"]).arg(&config).ok();
    let arguments = vec!["mount".into(), "--config".into(), config.into(), sandbox.mount_point().into()];
    let mount = Mount::spawn(&sandbox, arguments, sandbox.mount_point()).ready();
    assert!(mount.is_ok(), "{:?}", mount.err());
}

#[test]
fn on_a_terminal_it_asks_and_does_not_show_the_secret() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::empty();
    let config = sandbox.path("config.toml");
    let credentials = tenant.settings().credentials.clone();
    let program = env!("CARGO_BIN_EXE_cxonefs");
    let flags: Vec<String> = sets(&tenant, &sandbox);
    let command = format!("{program} init --config {} {}", config.display(), flags.join(" "));
    // The secret is typed only once it is asked for: before, the terminal would show it.
    let typed = format!(
        "printf '%s\\n' '{}'; for i in $(seq 100); do grep -q 'not shown' {log} && break; sleep 0.1; done; printf '%s\\n' '{}'; sleep 1",
        credentials.access_key_id,
        credentials.access_key_secret,
        log = sandbox.path("typescript").display(),
    );
    let line = format!("({typed}) | script -qefc '{command}' {}", sandbox.path("typescript").display());
    let done = sh(&line).env("HOME", sandbox.home()).run();
    assert!(config.exists(), "{}{}", done.stdout, done.stderr);
    assert!(
        done.stdout.contains("Access key id") && !done.stdout.contains(&credentials.access_key_secret),
        "{}",
        done.stdout
    );
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(&format!("access_key_id = \"{}\"", credentials.access_key_id)), "{text}");
    let secret = std::fs::read_to_string(config.with_file_name("secret")).unwrap();
    assert_eq!(secret, credentials.access_key_secret);
}

/// A slip costs the one question: it is asked again, and what was answered before stays.
#[test]
fn an_answer_that_cannot_be_right_is_asked_for_again() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::empty();
    let config = sandbox.path("config.toml");
    let credentials = tenant.settings().credentials.clone();
    let program = env!("CARGO_BIN_EXE_cxonefs");
    let flags: Vec<String> = sets(&tenant, &sandbox);
    // The days and the time zone are asked for, too.
    let pairs = flags.chunks(2).filter(|pair| !pair[1].starts_with("tree."));
    let flags: Vec<String> = pairs.flatten().cloned().collect();
    let command = format!("{program} init --config {} {}", config.display(), flags.join(" "));
    let log = sandbox.path("typescript");
    let wait = |words: &str, times: u32| {
        format!(
            "for i in $(seq 100); do [ $(grep -c '{words}' {}) -ge {times} ] && break; sleep 0.1; done",
            log.display()
        )
    };
    let typed = [
        "printf '%s\\n' 'KEY ID'".into(),
        format!("printf '%s\\n' '{}'", credentials.access_key_id),
        "printf '%s\\n' soon 2026-11-01 Mars/Base America/New_York".into(),
        wait("not shown", 1),
        "printf '%s\\n' wrong-secret-4711".into(),
        // The login was refused: the id again, kept by Enter, and the secret.
        wait("check tenant.access_key_id", 1),
        "printf '\\n'".into(),
        wait("not shown", 2),
        format!("printf '%s\\n' '{}'", credentials.access_key_secret),
        "sleep 1".into(),
    ];
    let line = format!("({}) | script -qefc '{command}' {}", typed.join("; "), log.display());
    let done = sh(&line).env("HOME", sandbox.home()).run();
    let said = format!("{}{}", done.stdout, done.stderr);
    assert!(config.exists(), "{said}");
    for part in ["one word", "soon", "Mars/Base", "the login works"] {
        assert!(said.contains(part), "{part:?} is not said:\n{said}");
    }
    let text = std::fs::read_to_string(&config).unwrap();
    for line in [
        "since = \"2026-11-01\"",
        "timezone = \"America/New_York\"",
        &format!("access_key_id = \"{}\"", credentials.access_key_id),
    ] {
        assert!(text.contains(line), "{line} is not written:\n{text}");
    }
    assert_eq!(std::fs::read_to_string(config.with_file_name("secret")).unwrap(), credentials.access_key_secret);
}

#[test]
fn without_a_network_it_can_be_written_untested() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::empty();
    let config = sandbox.path("config.toml");
    sandbox.write_secret("anything");
    tenant.fail(Endpoint::Login, Fault::Drop);
    let init = || init(&tenant, &sandbox, &config).arg("--secret-file").arg(sandbox.secret());
    assert_eq!(init().args(["--set", "limits.deadline=2s"]).run().code(), 1);
    init().arg("--no-test").ok();
    assert!(std::fs::read_to_string(&config).unwrap().contains("limits"));
    let nonsense = init().args(["--no-test", "--force", "--set", "tree.since=soon"]).run();
    assert_eq!(nonsense.code(), 2, "{}", nonsense.stderr);
}
