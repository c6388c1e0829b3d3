//! A desktop that looks at folders costs nothing: GIO, file managers, file choosers, thumbnailers; and what they may open all the same.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::{Done, Drive, Tool, plain, settings, sh, tool};

/// As the kernel names the programs of a desktop that may cause no billed call.
const SCANNERS: [&str; 14] = [
    "totem-video-thu",
    "ffmpegthumbnai",
    "ffmpegthumbnail",
    "gnome-thumbnail",
    "evince-thumbnai",
    "gst-video-thumb",
    "tumblerd",
    "kioslave5",
    "tracker-extract",
    "baloo_file_extr",
    "recollindex",
    "clamscan",
    "wdavdaemon",
    "falcon-sensor",
];
const FILE_MANAGERS: [&str; 7] = ["nautilus", "thunar", "pcmanfm", "nemo", "caja", "dolphin", "xdg-desktop-por"];
/// Neither owner nor in the group.
const STRANGER: &str = "64003";

/// A copy of a program under another name, which is what the kernel says of it.
fn renamed(program: &str, name: &str, dir: &Path) -> PathBuf {
    let found = sh(&format!("readlink -f \"$(command -v {program})\"")).ok();
    let copy = dir.join(name);
    std::fs::copy(found.stdout.trim(), &copy).unwrap();
    copy
}

fn bin(drive: &Drive) -> PathBuf {
    for path in [drive.sandbox.root().to_owned(), drive.sandbox.dir("bin")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    drive.sandbox.path("bin")
}

/// Every file of a folder and what it is, as a file manager asks.
fn looked_at(gio: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Done {
    tool(gio).args(["list", "-a", "standard::*"]).arg(folder).run()
}

#[test]
fn gio_tells_what_the_files_are_for_nothing() {
    let drive = Drive::of(settings(2, 8));
    let other = renamed("gio", "someones-browser", &bin(&drive));
    for place in &drive.tree.places {
        let folder = drive.at(&place.path);
        for gio in [Path::new("gio"), &other] {
            let done = looked_at(gio, &folder);
            let lines = done.lines();
            for file in std::fs::read_dir(&folder)
                .unwrap()
                .flatten()
                .filter(|file| file.path().extension().is_some_and(|end| end == "json"))
            {
                let name = file.file_name().into_string().unwrap();
                let line = lines
                    .iter()
                    .find(|line| line.starts_with(&name))
                    .unwrap_or_else(|| panic!("{name}: {}", done.stdout));
                assert!(line.contains("standard::content-type=application/json"), "{line}");
            }
        }
    }
    for file in std::fs::read_dir(drive.at(&drive.tree.recorded().next().unwrap().path)).unwrap().flatten() {
        tool(&other).arg("info").arg(file.path()).ok();
    }
    drive.assert_nothing_was_paid("gio");
    // What asks for the bytes gets them.
    let metadata = drive.at(&drive.tree.recorded().next().unwrap().path).join("metadata.json");
    assert!(!tool("cat").arg(&metadata).ok().stdout.is_empty());
    tool("gio").arg("cat").arg(metadata).ok();
    assert_eq!(drive.counters().playback_calls, 1);
}

/// Where the package's type file is installed, no list of programs is needed, and no owner either.
#[test]
fn names_alone_tell_the_types_where_the_package_is_installed() {
    let flags = [
        "--allow-other",
        "--set",
        "mount.file_mode=0444",
        "--set",
        "mount.dir_mode=0555",
        "--set",
        "mount.file_managers=nothing",
    ];
    let drive = Drive::with(settings(2, 8), &flags);
    let other = renamed("gio", "someones-browser", &bin(&drive));
    let types = drive.sandbox.path("mime");
    std::fs::create_dir_all(types.join("mime/packages")).unwrap();
    let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/desktop/cxonefs.xml");
    std::fs::copy(packaged, types.join("mime/packages/cxonefs.xml")).unwrap();
    tool("update-mime-database").arg(types.join("mime")).ok();
    let stranger = |folder: &Path, types: &str| {
        let done = tool("setpriv").args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups"]).arg(&other);
        done.args(["list", "-a", "standard::*"]).arg(folder).env("XDG_DATA_HOME", types).env("HOME", "/").ok()
    };
    for place in &drive.tree.places {
        let done = stranger(&drive.at(&place.path), types.to_str().unwrap());
        assert!(done.stdout.contains("standard::content-type=application/json"), "{}", done.stdout);
    }
    drive.assert_nothing_was_paid("gio with the package's types");
    let place = drive.tree.recorded().next().unwrap();
    stranger(&drive.at(&place.path), "/nonexistent");
    assert_eq!(drive.counters().playback_calls, 1, "without it and without a list this program would have paid");
}

#[test]
fn scanners_and_file_managers_are_known_by_names_that_were_cut() {
    let drive = Drive::of(plain(2, 10));
    let bin = bin(&drive);
    let folders: Vec<PathBuf> = drive.tree.recorded().map(|place| drive.at(&place.path)).collect();
    let refused = |done: &Done, name: &str| {
        assert!(
            done.stdout.is_empty() && done.stderr.contains("Permission denied"),
            "{name}: {}{}",
            done.stdout.len(),
            done.stderr
        );
    };
    for name in SCANNERS {
        let program = renamed("head", name, &bin);
        for file in ["metadata.json", "recording.mp4"] {
            refused(&tool(&program).args(["-c", "1"]).arg(folders[0].join(file)).run(), name);
        }
        tool(&program).args(["-c", "1"]).arg(folders[0].join("contact.json")).ok();
    }
    for name in FILE_MANAGERS {
        let program = renamed("head", name, &bin);
        refused(&tool(&program).args(["-c", "1"]).arg(folders[0].join("metadata.json")).run(), name);
        tool(&program).args(["-c", "1"]).arg(folders[0].join("contact.json")).ok();
    }
    drive.assert_nothing_was_paid("scanners and file managers");
    for (name, folder) in FILE_MANAGERS.iter().zip(&folders[1..]) {
        let program = bin.join(name);
        tool(&program).args(["-c", "1"]).arg(folder.join("recording.mp4")).ok();
        // Paid: its documents open for anybody.
        tool(&program).args(["-c", "1"]).arg(folder.join("metadata.json")).ok();
    }
    assert_eq!(drive.counters().playback_calls, FILE_MANAGERS.len() as u64);
    let said = drive.mount.stderr();
    for name in SCANNERS.iter().chain(&FILE_MANAGERS) {
        let words = format!("{name} is in mount.");
        let lines = said.lines().filter(|line| line.contains(&words)).count();
        assert_eq!(lines, 1, "one line for each program: {name}\n{said}");
    }
}

/// A session of its own on a screen that nobody sees.
fn session(drive: &Drive, line: &str, types: &Path) -> Tool {
    let home = drive.sandbox.home();
    let script = format!(
        "Xvfb -displayfd 3 -screen 0 1200x800x24 3>\"$HOME/display\" >/dev/null 2>&1 & screen=$!
         trap 'kill $screen' EXIT
         for i in $(seq 100); do [ -s \"$HOME/display\" ] && break; sleep 0.1; done
         export DISPLAY=:$(cat \"$HOME/display\")
         {line} >\"$HOME/said\" 2>&1 & shown=$!
         sleep 15
         for window in $(xdotool search --onlyvisible --name .); do xdotool getwindowname $window; done >\"$HOME/windows\"
         kill $shown 2>/dev/null || true"
    );
    let run = home.join("run");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).unwrap();
    let session = tool("dbus-run-session").args(["--", "bash", "-c", &script]).env("HOME", &home);
    session.env("XDG_RUNTIME_DIR", run).env("XDG_DATA_HOME", types).env("NO_AT_BRIDGE", "1")
}

/// The real ones, each in a session of its own that ends before the next begins; with `--full`, because they take as long as they want.
#[test]
fn file_managers_show_an_unresolved_day_for_nothing() {
    if std::env::var_os("CXONEFS_TEST_FULL").is_none() {
        return;
    }
    let drive = Drive::of(settings(2, 12));
    let folders: Vec<PathBuf> = drive.tree.recorded().map(|place| drive.at(&place.path)).collect();
    let types = drive.sandbox.path("no-types");
    let kde = "XDG_CURRENT_DESKTOP=KDE KDE_FULL_SESSION=true KDE_SESSION_VERSION=5 dolphin";
    let previews = "[PreviewSettings]\nPlugins=ffmpegthumbs,textthumbnail,imagethumbnail,directorythumbnail\n";
    std::fs::create_dir_all(drive.sandbox.home().join(".config")).unwrap();
    std::fs::write(drive.sandbox.home().join(".config/dolphinrc"), previews).unwrap();
    for program in
        ["nautilus --new-window", "thunar", "pcmanfm", "nemo", "caja", kde, "zenity --file-selection --filename"]
    {
        let first = &folders[0];
        let slash = if program.starts_with("zenity") { "/" } else { "" };
        let line = format!("{program} '{}{slash}'", first.display());
        session(&drive, &line, &types).within(Duration::from_mins(1)).run();
        let said = std::fs::read_to_string(drive.sandbox.home().join("said")).unwrap_or_default();
        let windows = std::fs::read_to_string(drive.sandbox.home().join("windows")).unwrap_or_default();
        let title = if program.starts_with("zenity") { "zenity" } else { first.file_name().unwrap().to_str().unwrap() };
        assert!(windows.contains(title), "{program} did not show the folder: {windows:?}, {said}");
        drive.assert_nothing_was_paid(program);
    }
}
