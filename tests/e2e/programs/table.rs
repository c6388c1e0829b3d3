//! The programs and calls of the matrix. One is a line of shell that copies the file `$S` to `$D`, or prints what it found out about `$S`.
//!
//! Also: `$R` is the path below the mount, `$E` the same as it stands in an address, `$N` the name, `$P` the folder, `$W` an empty folder, `$T` a true copy; `$U` is the address and `$L` the
//! mount point of what the line needs, `$PORT` its port. `call NAME` is a call of `calls.py`.

use super::servers::Needs;

/// What a line gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// A copy of the file.
    Copy,
    /// A copy of its last bytes, so many.
    Tail(usize),
    /// A text that is the same for `$T`.
    Text,
    /// The same, of a recording only: a document is nothing to it.
    Media,
    /// What `stat` alone tells: of an unresolved file an estimate, at no cost.
    Estimate,
}

/// Which promise a program gets in the default door for a file that is not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Every byte.
    Exact,
    /// Every byte or an exit code that is not 0; every byte through the exact door.
    Loud,
    /// It may pad or mistake the file and say nothing where the estimate is higher than the truth; every byte through the exact door.
    Door,
    /// It cannot read the file at all, or not in every state, and says so.
    Refused,
}

/// In which runs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// A cell of each kind, more with `--full`.
    Always,
    /// It takes seconds: few cells, and of one file.
    Slow,
    /// With `--full` only, as what it needs is large.
    Full,
}

#[derive(Clone, Copy, Debug)]
pub struct Program {
    pub name: &'static str,
    pub line: &'static str,
    pub gives: Gives,
    pub class: Class,
    /// Why it is not exact by default.
    pub why: &'static str,
    pub needs: Needs,
    /// Whether an open is not repeated by the kernel: then it may fail once also where the size was learned since the kernel heard another.
    pub is_unrepeated: bool,
    /// Whether it runs as root alone.
    pub root: bool,
    pub runs: Runs,
}

const fn copy(name: &'static str, line: &'static str) -> Program {
    Program {
        name,
        line,
        gives: Gives::Copy,
        class: Class::Exact,
        why: "",
        needs: Needs::Nothing,
        is_unrepeated: false,
        root: false,
        runs: Runs::Always,
    }
}

const fn text(name: &'static str, line: &'static str) -> Program {
    Program { gives: Gives::Text, ..copy(name, line) }
}

const fn media(name: &'static str, line: &'static str) -> Program {
    Program { gives: Gives::Media, ..copy(name, line) }
}

const fn look(name: &'static str, line: &'static str) -> Program {
    Program { gives: Gives::Estimate, ..copy(name, line) }
}

const fn java(name: &'static str, line: &'static str) -> Program {
    Program { needs: Needs::Java, ..copy(name, line) }
}

/// By a server or through another mount; these run as root.
const fn by(needs: Needs, name: &'static str, line: &'static str) -> Program {
    Program { needs, root: true, ..copy(name, line) }
}

impl Program {
    const fn tail(self, bytes: usize) -> Program {
        Program { gives: Gives::Tail(bytes), ..self }
    }

    const fn root(self) -> Program {
        Program { root: true, ..self }
    }

    const fn unrepeated(self) -> Program {
        Program { is_unrepeated: true, ..self }
    }

    const fn slow(self) -> Program {
        Program { runs: Runs::Slow, ..self }
    }

    const fn full(self) -> Program {
        Program { runs: Runs::Full, ..self }
    }

    const fn loud(self, why: &'static str) -> Program {
        Program { class: Class::Loud, why, ..self }
    }

    const fn door(self, why: &'static str) -> Program {
        Program { class: Class::Door, why, ..self }
    }

    const fn refused(self, why: &'static str) -> Program {
        Program { class: Class::Refused, why, ..self }
    }
}

const STATS_FIRST: &str = "takes the size from `stat`, before it opens";
const WRITES_FIRST: &str = "writes the size that `stat` showed before it opens";
const PROMISES: &str = "promises the size that `stat` showed in the answer's head";
const FORETELLS: &str = "tells the size that `stat` showed before the bytes";
const COMPARES: &str = "compares the size with the one it saw before it opened";
const MAPS: &str = "maps or reads by the size that `stat` showed before it opens";
const SKIPS: &str = "skips a file that is smaller than `stat` showed before it opens, and exits with 0";
const CACHES: &str = "keeps attributes of its own, and reads to the end that it knows";

pub const ALL: &[Program] = &[
    // Copying.
    copy("cp", r#"cp "$S" "$D""#),
    copy("cp --sparse=always", r#"cp --sparse=always "$S" "$D""#),
    copy("cat", r#"cat "$S" > "$D""#),
    copy("dd", r#"dd if="$S" of="$D" bs=64k status=none"#),
    copy("dd iflag=direct", r#"dd if="$S" of="$D" bs=64k iflag=direct status=none"#),
    copy("head -c", r#"head -c 100M "$S" > "$D""#),
    copy("tail -c +1", r#"tail -c +1 "$S" > "$D""#),
    copy("tail -c 1000", r#"tail -c 1000 "$S" > "$D""#).tail(1000),
    copy("tail -f", r#"sleep 0.4 & tail -c +1 -f ---disable-inotify -s 0.1 --pid=$! "$S" > "$D""#),
    copy("install", r#"install -m 600 "$S" "$D""#),
    copy("split", r#"split -b 50k "$S" "$W/part." && cat "$W"/part.* > "$D""#),
    copy("split -n", r#"split -n 3 "$S" "$W/part." && cat "$W"/part.* > "$D""#),
    copy("rsync -a", r#"rsync -a "$S" "$D""#),
    copy("rsync --inplace", r#"rsync --inplace "$S" "$D""#),
    copy("rsync --append-verify", r#"rsync --append-verify "$S" "$D""#).door(SKIPS),
    copy("rsync --checksum", r#"rsync -a --checksum "$S" "$D""#),
    copy("cp --reflink=always", r#"cp --reflink=always "$S" "$D""#).refused("as between any two file systems"),
    copy("busybox cp", r#"busybox cp "$S" "$D""#),
    copy("busybox cat", r#"busybox cat "$S" > "$D""#),
    copy("busybox dd", r#"busybox dd if="$S" of="$D" bs=64k 2> "$W/said" || { cat "$W/said" >&2; false; }"#),
    copy("uutils cp", r#"/usr/lib/cargo/bin/coreutils/cp "$S" "$D""#),
    copy("uutils cat", r#"/usr/lib/cargo/bin/coreutils/cat "$S" > "$D""#),
    copy("Perl File::Copy", r#"perl -MFile::Copy -e 'copy($ARGV[0], $ARGV[1]) or die $!' "$S" "$D""#),
    copy("gzip", r#"gzip -c "$S" | gunzip > "$D""#),
    copy("zstd", r#"zstd -q "$S" -o "$D.zst" && zstd -dqc "$D.zst" > "$D""#),
    copy("openssl base64", r#"openssl base64 -in "$S" | openssl base64 -d > "$D""#),
    copy("curl file://", r#"curl -sSf -o "$D" "file://$S""#),
    copy(
        "ten programs at once",
        r#"for k in 1 2 3 4 5; do cp "$S" "$W/a$k" & p+=($!); busybox cp "$S" "$W/b$k" & p+=($!); done
           for k in "${p[@]}"; do wait "$k"; done; for k in "$W"/[ab]?; do cmp -s "$W/a1" "$k" || { rm -f "$W/a1"; : > "$W/a1"; }; done; cp "$W/a1" "$D""#,
    ),
    // Archives.
    copy("GNU tar", r#"tar -C "$P" -cf "$D.tar" "$N" && tar -xOf "$D.tar" > "$D""#),
    copy("GNU tar -S", r#"tar -S -C "$P" -cf "$D.tar" "$N" && tar -C "$W" -xSf "$D.tar" && mv "$W/$N" "$D""#),
    copy("GNU tar, piped", r#"tar -C "$P" -c "$N" | tar -xO > "$D""#),
    copy(
        "GNU cpio",
        r#"cd "$P"; echo "$N" | cpio -o -H newc --quiet > "$D.cpio"; cd "$W"; cpio -i --quiet < "$D.cpio"; mv "$N" "$D""#,
    )
    .door(WRITES_FIRST),
    copy("GNU cpio -p", r#"cd "$P"; echo "$N" | cpio -p --quiet "$W"; mv "$W/$N" "$D""#).door(WRITES_FIRST),
    copy("pax", r#"cd "$P"; pax -w -f "$D.pax" "$N"; cd "$W"; pax -r -f "$D.pax"; mv "$N" "$D""#).loud(WRITES_FIRST),
    copy("afio", r#"cd "$P"; echo "$N" | afio -o "$D.afio"; cd "$W"; afio -i "$D.afio"; mv "$N" "$D""#).loud(WRITES_FIRST),
    copy("bsdtar", r#"bsdtar -C "$P" -cf "$D.tar" "$N" && tar -xOf "$D.tar" > "$D""#).door(WRITES_FIRST),
    copy("busybox tar", r#"busybox tar -C "$P" -cf "$D.tar" "$N" && tar -xOf "$D.tar" > "$D""#).loud(WRITES_FIRST),
    copy(
        "busybox cpio",
        r#"cd "$P"; echo "$N" | busybox cpio -o -H newc > "$D.cpio"; cd "$W"; cpio -i --quiet < "$D.cpio"; mv "$N" "$D""#,
    )
    .loud(WRITES_FIRST),
    copy("zip", r#"zip -q -j "$D.zip" "$S" && unzip -p "$D.zip" > "$D""#),
    copy("zip -0, piped", r#"zip -q -0 -j - "$S" | cat > "$D.zip" && unzip -p "$D.zip" > "$D""#),
    copy(
        "mksquashfs -exit-on-error",
        r#"mksquashfs "$S" "$D.sq" -quiet -no-progress -exit-on-error > "$W/said" && unsquashfs -q -n -no-xattrs -d "$W/x" "$D.sq" > "$W/said" && mv "$W/x/$N" "$D""#,
    ),
    copy(
        "git add",
        r#"git init -q --bare "$W/g"; export GIT_DIR="$W/g" GIT_WORK_TREE="$P"; git add "$N" && git cat-file -p ":$N" > "$D""#,
    )
    .door(MAPS),
    copy("7z", r#"7z a -bd -y "$D.7z" "$S" > "$W/said" && 7z x -so "$D.7z" > "$D""#),
    copy(
        "dar",
        r#"dar -Q -q -c "$D" -R "$P" -g "$N" > "$W/said" && mkdir "$W/x" && dar -Q -q -x "$D" -R "$W/x" -O > "$W/said" && mv "$W/x/$N" "$D""#,
    ),
    copy(
        "genisoimage",
        r#"genisoimage -quiet -R -o "$D.iso" "$S" && bsdtar -xOf "$D.iso" > "$D""#,
    )
    .loud(WRITES_FIRST),
    // Backups.
    copy(
        "restic",
        r#"export RESTIC_PASSWORD=x RESTIC_REPOSITORY="$W/r"; restic -q --no-cache init; restic -q --no-cache backup "$S"; restic -q --no-cache dump latest "$S" > "$D""#,
    )
    .slow(),
    copy(
        "borg",
        r#"export BORG_REPO="$W/r" BORG_BASE_DIR="$W" BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes; borg init -e none; borg create ::a "$S"; borg extract --stdout ::a > "$D""#,
    )
    .slow(),
    copy(
        "duplicity",
        r#"mkdir "$W/in"; duplicity -v1 --no-encryption --archive-dir "$W/a" --include "$S" --exclude '**' "$P" "file://$W/r" > "$W/said"
           duplicity restore -v1 --no-encryption --archive-dir "$W/a" "file://$W/r" "$W/out" > "$W/said"; mv "$W/out/$N" "$D""#,
    )
    .slow(),
    copy("rclone copy", r#"rclone --config /dev/null --retries 1 --low-level-retries 1 copy "$S" "$W/o" && mv "$W/o/$N" "$D""#)
        .loud(COMPARES),
    copy("rclone cat", r#"rclone --config /dev/null cat "$S" > "$D""#).loud(COMPARES),
    // Looking into it.
    text("wc -c, two files", r#"wc -c "$S" "$P/metadata.json" | awk '{print $1}' | head -1"#).door(STATS_FIRST),
    text("wc -c", r#"wc -c < "$S""#),
    text("git hash-object", r#"git hash-object "$S""#),
    text("tac, tail -n", r#"tac "$S" | md5sum; tail -n 3 "$S" | md5sum"#),
    text("head -c -1000", r#"head -c -1000 "$S" | md5sum"#),
    text("sha256sum", r#"sha256sum "$S" | cut -c-64"#),
    text("md5sum, sha1sum", r#"md5sum < "$S"; sha1sum < "$S""#),
    text("cmp", r#"cmp "$S" "$T" || { [ $? = 1 ]; echo another; }"#),
    text("diff -q", r#"diff -q "$S" "$T" > "$W/said" || { [ $? = 1 ]; echo another; }"#).door(STATS_FIRST),
    text("grep -c", r#"grep -a -c e "$S" || [ $? = 1 ]"#),
    text("od", r#"od -An -c "$S" | md5sum"#),
    // It says in words, with exit code 0, that it cannot open a file.
    text("file", r#"file -b "$S" | tee "$W/said"; ! grep "no read permission" "$W/said" >&2"#),
    media("ffprobe", r#"ffprobe -v error -show_entries format=duration,size -of csv=p=0 "$S""#),
    media("ffmpeg", r#"ffmpeg -v error -i "$S" -f md5 -"#),
    media("ffmpeg | sox", r#"ffmpeg -v error -i "$S" -f wav - | sox -t wav - -t raw - | md5sum"#),
    media(
        "mpv",
        r#"HOME="$W" mpv --no-config --really-quiet --no-video --ao=pcm --ao-pcm-file="$W/o.wav" "$S" && md5sum < "$W/o.wav""#,
    ),
    // Calls.
    copy("read", r#"call read "$S" "$D""#),
    copy("sendfile", r#"call sendfile "$S" "$D""#),
    copy("splice", r#"call splice "$S" "$D""#),
    copy("copy_file_range", r#"call copy_file_range "$S" "$D""#),
    copy("preadv", r#"call preadv "$S" "$D""#),
    copy("preadv2 RWF_NOWAIT", r#"call nowait "$S" "$D""#),
    copy("readahead", r#"call readahead "$S" "$D""#),
    copy("Linux AIO", r#"call aio "$S" "$D""#),
    copy("mmap", r#"call mmap "$S" "$D""#),
    copy("mmap MAP_SHARED, MAP_POPULATE", r#"call mmap_shared "$S" "$D""#),
    copy("stat, then mmap", r#"call mmap_looked "$S" "$D""#).loud(MAPS),
    copy("stat, then read", r#"call read_looked "$S" "$D""#).door(MAPS),
    copy("stat, then sendfile", r#"call sendfile_looked "$S" "$D""#),
    copy("O_DIRECT", r#"call direct "$S" "$D""#),
    copy("O_DIRECT, unaligned", r#"call direct_unaligned "$S" "$D""#),
    copy("posix_fadvise", r#"call fadvise "$S" "$D""#),
    copy("lseek SEEK_END", r#"call seek_end "$S" "$D""#),
    copy("lseek SEEK_HOLE, SEEK_DATA", r#"call seek_hole "$S" "$D""#),
    copy("fstat after open", r#"call fstat "$S" "$D""#),
    copy("statx after open", r#"call statx "$S" "$D""#),
    copy("O_PATH, opened again", r#"call opath "$S" "$D""#),
    copy("openat2 RESOLVE_BENEATH", r#"call openat2 "$S" "$D""#),
    copy("open_by_handle_at", r#"call handle "$S" "$D""#).root(),
    copy("io_uring openat, read", r#"call uring "$S" "$D""#).root(),
    copy("cp beside an on-access scanner (fanotify)", r#"call fanotify "$S" "$D""#)
        .root()
        .unrepeated()
        .loud("the kernel opens the file for the scanner, and does not repeat that open: EPERM, once"),
    // Python.
    copy("Python shutil.copyfile", r#"call shutil "$S" "$D""#),
    copy("Python tarfile.add", r#"call tarfile "$S" "$D""#).loud(WRITES_FIRST),
    copy("Python shutil.make_archive", r#"call make_archive "$S" "$D""#).loud(WRITES_FIRST),
    copy("Python zipfile", r#"call zipfile "$S" "$D""#),
    copy("sendfile by 8 threads at once", r#"call flight "$S" "$D""#),
    by(Needs::S3, "Python boto3 upload_file", r#"U="$U" "$VENV/bin/python" "$CALLS" boto3 "$S" "$D""#).loud(WRITES_FIRST).full(),
    // Other languages.
    copy("PHP copy", r#"php -r 'copy($argv[1], $argv[2]) || exit(1);' "$S" "$D""#),
    copy("Perl, -s, then read", r#"perl -e '$n = -s $ARGV[0]; open F, "<", $ARGV[0] or die $!; read F, $b, $n; open O, ">", $ARGV[1]; print O $b' "$S" "$D""#),
    copy("Node fs.copyFile", r#"node "$CALLS_JS" copyFile "$S" "$D""#).full(),
    copy("Node fs.readFile", r#"node "$CALLS_JS" readFile "$S" "$D""#).full(),
    copy("Node createReadStream", r#"node "$CALLS_JS" stream "$S" "$D""#).full(),
    copy("Node fs.openAsBlob", r#"node "$CALLS_JS" blob "$S" "$D""#).full().loud(COMPARES),
    java("Java Files.copy", r#"java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$CLASSES" Calls files "$S" "$D""#).full(),
    java("Java FileChannel.transferTo", r#"java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$CLASSES" Calls transferTo "$S" "$D""#).full(),
    java("Java FileChannel.map", r#"java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$CLASSES" Calls map "$S" "$D""#).full(),
    java("Java File.length, readFully", r#"java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$CLASSES" Calls length "$S" "$D""#).full().loud(MAPS),
    // Looking at it.
    look("stat", r#"stat -c %s "$S""#),
    look("ls -l", r#"ls -l "$S" | awk '{print $5}'"#),
    look("find -size", r#"find "$S" -size +0 -printf '%s\n'"#),
    look("[ -s ]", r#"[ -s "$S" ] && echo 1"#),
    look("du --apparent-size", r#"du --apparent-size -b "$S" | cut -f1"#),
    // Other mounts on top.
    by(Needs::Bind, "bind mount, cp", r#"cp "$L/$R" "$D""#),
    by(Needs::Bind, "bind mount, busybox cp", r#"busybox cp "$L/$R" "$D""#),
    by(
        Needs::Nothing,
        "mount namespace of its own, busybox cp",
        r#"ROOT="${S%"$R"}" unshare -m bash -ec 'mkdir "$W/m"; mount --rbind "$ROOT" "$W/m"; busybox cp "$W/m/$R" "$D"'"#,
    ),
    by(
        Needs::Nothing,
        "bind mount of the file alone, busybox cp",
        r#"unshare -m bash -ec ': > "$W/f"; mount --bind "$S" "$W/f"; busybox cp "$W/f" "$D"'"#,
    ),
    by(Needs::Overlay, "overlayfs, cp", r#"cp "$L/$R" "$D""#),
    by(Needs::Overlay, "overlayfs, busybox cp", r#"busybox cp "$L/$R" "$D""#),
    by(Needs::Overlay, "overlayfs, mmap", r#"call mmap "$L/$R" "$D""#),
    by(Needs::Bindfs, "bindfs, looked at, then cp", r#"stat "$L/$R" > "$W/said"; cp "$L/$R" "$D""#).door(CACHES),
    by(Needs::Bindfs, "bindfs, looked at, then busybox cp", r#"stat "$L/$R" > "$W/said"; busybox cp "$L/$R" "$D""#).door(CACHES),
    by(Needs::Mergerfs, "mergerfs, looked at, then cp", r#"stat "$L/$R" > "$W/said"; cp "$L/$R" "$D""#).door(CACHES),
    by(Needs::Mergerfs, "mergerfs, looked at, then busybox cp", r#"stat "$L/$R" > "$W/said"; busybox cp "$L/$R" "$D""#).door(CACHES),
    by(Needs::RcloneMount, "rclone mount, cat", r#"cat "$L/$R" > "$D""#).loud(CACHES),
    // Servers.
    by(Needs::Samba, "Samba", r#"smbclient //127.0.0.1/r -N -p "$PORT" -D "${R%/*}" -c "get \"$N\" \"$D\"" > "$W/said" 2>&1 || { cat "$W/said" >&2; false; }"#),
    by(Needs::Ssh, "scp", r#"scp -q "${SSH[@]}" -P "$PORT" "127.0.0.1:$S" "$D""#),
    by(Needs::Ssh, "scp -O", r#"scp -O -q "${SSH[@]}" -P "$PORT" "127.0.0.1:$S" "$D""#),
    by(Needs::Ssh, "sftp", r#"sftp -q "${SSH[@]}" -P "$PORT" "127.0.0.1:$S" "$D""#),
    by(Needs::SambaSendfile, "Samba, use sendfile", r#"smbclient //127.0.0.1/r -N -p "$PORT" -D "${R%/*}" -c "get \"$N\" \"$D\"" > "$W/said" 2>&1 || { cat "$W/said" >&2; false; }"#),
    by(Needs::Ssh, "scp, the mount as source", r#"scp -q "${SSH[@]}" -P "$PORT" "$S" "127.0.0.1:$D""#),
    by(Needs::Ssh, "scp -O, the mount as source", r#"scp -O -q "${SSH[@]}" -P "$PORT" "$S" "127.0.0.1:$D""#),
    by(Needs::Ssh, "sftp put", r#"echo "put \"$S\" \"$D\"" | sftp -q -b - "${SSH[@]}" -P "$PORT" 127.0.0.1 > "$W/said""#),
    by(Needs::Uploads, "curl -T", r#"curl -sSf -m 20 -T "$S" "$U$D""#),
    by(Needs::Uploads, "curl -F", r#"curl -sSf -m 10 -F "file=@$S" "$U$D""#).loud(FORETELLS).slow(),
    by(Needs::Vsftpd, "vsftpd", r#"curl -sSf -m 20 -o "$D" "ftp://127.0.0.1:$PORT/$E""#).loud(FORETELLS),
    by(Needs::Lighttpd, "lighttpd", r#"curl -sSf -m 20 -o "$D" "$U/$E""#),
    by(Needs::PythonHttp, "Python http.server", r#"curl -sSf -m 20 -o "$D" "$U/$E""#),
    by(Needs::Busybox, "busybox httpd", r#"curl -sSf -m 20 -o "$D" "$U/$E""#).loud(PROMISES),
    by(Needs::Php, "PHP's server", r#"curl -sSf -m 20 -o "$D" "$U/$E""#).loud(PROMISES),
    by(Needs::Express, "Express", r#"curl -sSf -m 20 -o "$D" "$U/$E""#).full().loud(PROMISES),
    by(Needs::HttpServer, "http-server (Node)", r#"curl -sSf -m 20 -o "$D" "$U/$E""#).full().loud(PROMISES),
    by(Needs::Flask, "Flask", r#"curl -sSf -m 20 -o "$D" "$U/$E""#).full().loud(PROMISES),
    by(Needs::Starlette, "Starlette", r#"curl -sSf -m 20 -o "$D" "$U/$E""#).full().loud(PROMISES),
    by(Needs::Rclone, "rclone serve http", r#"curl -sSf -m 20 -o "$D" "$U/$E""#).loud(PROMISES),
    by(Needs::Nginx, "nginx, sendfile off", r#"curl -sSf -m 20 -o "$D" "$U/$E""#),
    by(Needs::NginxSendfile, "nginx, sendfile on", r#"curl -sSf -m 20 -o "$D" "$U/$E""#),
    by(Needs::NginxSendfile, "nginx, last 1000 bytes", r#"curl -sSf -m 20 -r -1000 -o "$D" "$U/$E""#).tail(1000),
    by(Needs::Apache, "Apache, sendfile off", r#"curl -sSf -m 20 -o "$D" "$U/$E""#).loud(PROMISES),
    by(Needs::ApacheSendfile, "Apache, sendfile on", r#"curl -sSf -m 20 -o "$D" "$U/$E""#).loud(PROMISES),
    by(Needs::Apache, "Apache, last 1000 bytes", r#"curl -sSf -m 20 -r -1000 -o "$D" "$U/$E""#).tail(1000).loud(PROMISES),
];
