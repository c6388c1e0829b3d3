//! The programs of the matrix: how each is run, what it says that it copied, and how its copy is brought back. `docs/BACKUP.md` has the same
//! recipes for people.

use std::path::{Path, PathBuf};

use super::work::Work;
use crate::harness::{Done, Tool, sh, tool};

/// A program that copies or backs up.
pub struct Program {
    /// What it needs before its first run.
    pub prepare: fn(&Work),
    /// One run; the next one is to copy only what is new.
    pub run: fn(&Work) -> Tool,
    /// What its own report says that this run copied, by file.
    pub copied: fn(&Done) -> Vec<String>,
    /// Where every file stands as it was copied; brings it there if need be.
    pub copy: fn(&Work) -> PathBuf,
    /// Files that it copies again although nothing changed, at most.
    pub again: usize,
    /// Flags of the mount.
    pub flags: &'static [&'static str],
}

/// A copy is what it makes, and nothing has to be prepared.
const COPIER: Program =
    Program { prepare: |_| (), run: |_| sh("false"), copied: |_| Vec::new(), copy: Work::store, again: 0, flags: &[] };

fn said(done: &Done) -> Vec<String> {
    done.lines().iter().filter(|line| !line.is_empty()).map(ToString::to_string).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

pub const CP: Program = Program {
    run: |work| tool("cp").args(["-a", "-u", "-v", "-T"]).arg(work.source()).arg(work.store()),
    // A directory is named whenever its times are set.
    copied: |done| said(done).into_iter().filter(|line| line.contains(".json'") || line.contains(".mp4'")).collect(),
    ..COPIER
};

pub const RSYNC: Program = Program {
    run: |work| {
        tool("rsync").args(["-a", "-H", "--delete", "--itemize-changes"]).arg(work.source().join("")).arg(work.store())
    },
    copied: said,
    ..COPIER
};

/// Each run is a copy of its own that links what the one before has: with extended attributes, one that changed would make it another file.
pub const RSYNC_LINKING: Program = Program {
    prepare: |work| std::fs::create_dir(work.store()).unwrap(),
    run: |work| {
        let line = format!(
            "cd '{}'; next=$(($(ls | wc -l) + 1)); rsync -aHAX --itemize-changes --link-dest=../$((next - 1)) '{}/' $next",
            text(&work.store()),
            text(&work.source())
        );
        sh(&line)
    },
    // A directory is made anew each time.
    copied: |done| {
        let is_directory = |line: &String| line.starts_with("cd") || line.starts_with("created directory");
        said(done).into_iter().filter(|line| !is_directory(line)).collect()
    },
    copy: |work| {
        let runs = std::fs::read_dir(work.store()).unwrap().count();
        work.store().join(runs.to_string())
    },
    ..COPIER
};

/// A full dump, then what changed since: `--no-check-device`, for the number of the device is another one after every mount.
pub const TAR: Program = Program {
    prepare: |work| std::fs::create_dir(work.store()).unwrap(),
    run: |work| {
        let line = format!(
            "cd '{store}'; level=$(find . -name '*.tar' | wc -l); \
             tar -c -S --no-check-device --listed-incremental=snapshot -f $level.tar -C '{source}' .; \
             tar -t -f $level.tar | grep -v '/$' || true",
            store = text(&work.store()),
            source = text(&work.source())
        );
        sh(&line)
    },
    copied: said,
    copy: |work| {
        let restored = work.restored();
        std::fs::create_dir(&restored).unwrap();
        let line = "for dump in $(ls *.tar | sort -n); do tar -x --listed-incremental=/dev/null -f $dump -C ";
        sh(&format!("{line} '{}'; done", text(&restored))).in_dir(&work.store()).ok();
        restored
    },
    ..COPIER
};

pub const ZIP: Program = Program {
    // 12: nothing to do.
    run: |work| {
        let archive = text(&work.store().with_extension("zip"));
        sh(&format!("zip -1 -r -u '{archive}' . || [ $? = 12 ]")).in_dir(&work.source())
    },
    copied: |done| said(done).into_iter().filter(|line| !line.contains("/ (")).collect(),
    copy: |work| {
        let restored = work.restored();
        tool("unzip").arg("-q").arg(work.store().with_extension("zip")).arg("-d").arg(&restored).ok();
        restored
    },
    ..COPIER
};

pub const SHUTIL: Program = Program {
    run: |work| {
        let script = "import os, shutil, sys\n\
            def newer(source, target):\n\
            \x20   a, b = os.stat(source), os.path.exists(target) and os.stat(target)\n\
            \x20   if not b or (a.st_size, int(a.st_mtime)) != (b.st_size, int(b.st_mtime)):\n\
            \x20       print(source)\n\
            \x20       shutil.copy2(source, target)\n\
            shutil.copytree(sys.argv[1], sys.argv[2], copy_function=newer, dirs_exist_ok=True)\n";
        tool("python3").args(["-c", script]).arg(work.source()).arg(work.store())
    },
    copied: said,
    ..COPIER
};

/// Decides by size before it opens.
pub const RCLONE: Program = Program {
    run: |work| {
        let tool = tool("rclone").args(["copy", "-v", "--config", "/dev/null", "--cache-dir"]).arg(work.home());
        tool.arg(work.source()).arg(work.store())
    },
    copied: |done| done.stderr.lines().filter(|line| line.contains("Copied")).map(str::to_owned).collect(),
    flags: &["--set", "mount.resolve_on=stat"],
    ..COPIER
};

fn restic_of(work: &Work) -> Tool {
    let tool = tool("restic").env("RESTIC_PASSWORD", "x").env("RESTIC_REPOSITORY", work.store());
    tool.env("RESTIC_CACHE_DIR", work.home().join("restic")).env("HOME", work.home())
}

pub const RESTIC: Program = Program {
    prepare: |work| drop(restic_of(work).arg("init").ok()),
    run: |work| restic_of(work).args(["backup", "--json", "--verbose=2"]).arg(work.source()),
    copied: |done| {
        let files = done.lines().into_iter().filter(|line| {
            line.contains("\"verbose_status\"")
                && (line.contains("\"action\":\"new\"") || line.contains("\"action\":\"modified\""))
                && !line.contains("/\",")
        });
        files.map(str::to_owned).collect()
    },
    copy: |work| {
        restic_of(work).args(["restore", "latest", "--target"]).arg(work.restored()).ok();
        work.restored().join(work.source().strip_prefix("/").unwrap())
    },
    ..COPIER
};

fn borg_of(work: &Work) -> Tool {
    let tool = tool("borg").env("BORG_REPO", work.store()).env("BORG_BASE_DIR", work.home());
    tool.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes").in_dir(&work.source())
}

pub const BORG: Program = Program {
    prepare: |work| drop(borg_of(work).args(["init", "-e", "none"]).ok()),
    run: |work| borg_of(work).args(["create", "--list", "--filter=AME", "::{utcnow:%s.%f}", "."]),
    copied: |done| done.stderr.lines().map(str::to_owned).collect(),
    // The newest file is not in its files cache, by design, and is read again; from the cache on disk here.
    again: 1,
    copy: |work| {
        let restored = work.restored();
        std::fs::create_dir(&restored).unwrap();
        let latest = borg_of(work).args(["list", "--last=1", "--short"]).ok().stdout;
        borg_of(work).args(["extract", &format!("::{}", latest.trim())]).in_dir(&restored).ok();
        restored
    },
    ..COPIER
};

/// What a killed run leaves behind, as its manual says.
pub fn break_borgs_lock(work: &Work) {
    borg_of(work).arg("break-lock").ok();
}

fn duplicity_of(work: &Work) -> Tool {
    let tool = tool("duplicity").env("HOME", work.home());
    tool.args(["--no-encryption", "--allow-source-mismatch", "--archive-dir"]).arg(work.home().join("duplicity"))
}

pub const DUPLICITY: Program = Program {
    run: |work| duplicity_of(work).arg("-v4").arg(work.source()).arg(format!("file://{}", text(&work.store()))),
    copied: |done| {
        // It counts directories, too, whose times are compared; a delta is what was copied.
        let counted = done.lines().into_iter().filter(|line| {
            ["RawDeltaSize", "DeltaEntries"].iter().any(|name| line.starts_with(name)) && !line.contains(" 0")
        });
        counted.map(str::to_owned).collect()
    },
    copy: |work| {
        duplicity_of(work).arg("restore").arg(format!("file://{}", text(&work.store()))).arg(work.restored()).ok();
        work.restored()
    },
    ..COPIER
};
