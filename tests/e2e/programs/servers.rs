//! What a program of the matrix needs beside the mount: a server of its files, another mount on top of it, a compiled program. Started when first needed.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Running, Tool, mount_at, packages, sh, tool, wait_for};

const READY_WITHIN: Duration = Duration::from_secs(20);
/// What `--full` takes from package indexes.
const PYTHON_PACKAGES: [&str; 5] =
    ["boto3==1.44.8", "moto[s3,server]==5.2.5", "flask==3.1.3", "starlette==1.10.0", "uvicorn==0.54.0"];
const NODE_PACKAGES: [&str; 2] = ["express@5.3.0", "http-server@14.1.1"];
const MODULES: &str = "/usr/lib/apache2/modules";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Needs {
    Nothing,
    Java,
    Bind,
    Overlay,
    Bindfs,
    Mergerfs,
    RcloneMount,
    S3,
    Samba,
    SambaSendfile,
    Uploads,
    Vsftpd,
    Lighttpd,
    Ssh,
    PythonHttp,
    Busybox,
    Php,
    Express,
    HttpServer,
    Flask,
    Starlette,
    Rclone,
    Nginx,
    NginxSendfile,
    Apache,
    ApacheSendfile,
}

/// One that runs; gone when dropped.
pub struct Started {
    /// Lines of shell that tell a program where it is.
    pub says: String,
    mounted: Option<PathBuf>,
    running: Option<Running>,
}

impl Started {
    /// Whether it can be used still: some servers end with the first error of a file.
    pub fn is_there(&mut self) -> bool {
        self.running.as_mut().is_none_or(|running| running.0.try_wait().is_ok_and(|ended| ended.is_none()))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(path) = &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(path).output();
        }
        self.running = None;
    }
}

/// The interpreter of `calls.py`. Debian's own, as a shim of another costs more than what is measured.
pub fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" }
}

/// The calls of `calls.py` that other languages have, as they make them.
pub fn calls_of(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/programs").join(file)
}

pub fn calls() -> PathBuf {
    calls_of("calls.py")
}

/// Starts it for the tree at `root`, with its files in `dir`, which is there.
pub fn start(needs: Needs, root: &Path, dir: &Path) -> Result<Started, String> {
    let above = dir.join("on");
    match needs {
        Needs::Nothing => return Ok(Started { says: String::new(), mounted: None, running: None }),
        Needs::Java => {
            let done = tool("javac").arg("-d").arg(dir).arg(calls_of("Calls.java")).run();
            let says = format!("CLASSES='{}'", dir.display());
            return match done.code() {
                0 => Ok(Started { says, mounted: None, running: None }),
                _ => Err(done.stderr),
            };
        }
        Needs::Bind | Needs::Overlay | Needs::Bindfs | Needs::Mergerfs | Needs::RcloneMount => {
            std::fs::create_dir(&above).map_err(|error| error.to_string())?;
            return mounted(needs, root, dir, &above);
        }
        _ => {}
    }
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(|e| e.to_string())?.port();
    let mut says = format!("PORT={port}; U=http://127.0.0.1:{port}");
    let at = format!("127.0.0.1:{port}");
    let served = match needs {
        Needs::S3 => {
            let venv = packages::of_python("programs-python", &PYTHON_PACKAGES)?;
            says = format!("{says}; VENV='{}'", venv.display());
            tool(venv.join("bin/moto_server")).args(["-H", "127.0.0.1", "-p", &port.to_string()])
        }
        Needs::Flask | Needs::Starlette => {
            let venv = packages::of_python("programs-python", &PYTHON_PACKAGES)?;
            let call = if needs == Needs::Flask { "serve_flask" } else { "serve_starlette" };
            tool(venv.join("bin/python")).arg(calls()).args([call, &port.to_string()]).arg(root)
        }
        Needs::Express => {
            let modules = packages::of_node("programs-node", &NODE_PACKAGES)?;
            tool("node").args(["-e", EXPRESS, &port.to_string()]).arg(root).in_dir(&modules)
        }
        Needs::HttpServer => {
            let modules = packages::of_node("programs-node", &NODE_PACKAGES)?;
            let program = modules.join("node_modules/http-server/bin/http-server");
            tool("node").arg(program).arg(root).args(["-a", "127.0.0.1", "-s", "-c-1", "-p", &port.to_string()])
        }
        Needs::Samba => samba(root, dir, port, "no"),
        Needs::SambaSendfile => samba(root, dir, port, "yes"),
        Needs::Uploads => tool(python()).arg(calls()).args(["serve_uploads", &port.to_string()]).arg(root),
        Needs::Vsftpd => vsftpd(root, dir, port),
        Needs::Lighttpd => {
            let text = format!(
                "server.document-root = \"{}\"\nserver.port = {port}\nserver.bind = \"127.0.0.1\"\n",
                root.display()
            );
            tool("lighttpd").arg("-D").arg("-f").arg(written(dir, "lighttpd.conf", &text))
        }
        Needs::Ssh => {
            let options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
            says = format!("{says}; SSH=(-i '{}/key' {options})", dir.display());
            ssh(dir, port)
        }
        Needs::PythonHttp => {
            tool(python()).args(["-m", "http.server", "--bind", "127.0.0.1", "-d"]).arg(root).arg(port.to_string())
        }
        Needs::Busybox => tool("busybox").args(["httpd", "-f", "-p", &at, "-h"]).arg(root),
        Needs::Php => tool("php").args(["-S", &at, "-t"]).arg(root),
        Needs::Rclone => tool("rclone").args(["--config", "/dev/null", "serve", "http", "--addr", &at]).arg(root),
        Needs::Nginx => nginx(root, dir, &at, "off"),
        Needs::NginxSendfile => nginx(root, dir, &at, "on"),
        Needs::Apache => apache(root, dir, &at, "Off"),
        _ => apache(root, dir, &at, "On"),
    };
    let running = served.env("HOME", dir).start();
    wait_for(READY_WITHIN, || TcpStream::connect(&at).ok()).ok_or_else(|| format!("{needs:?} does not listen"))?;
    Ok(Started { says, mounted: None, running: Some(running) })
}

fn mounted(needs: Needs, root: &Path, dir: &Path, above: &Path) -> Result<Started, String> {
    let (from, to) = (root.display(), above.display());
    let begun = match needs {
        Needs::Bind => Err(format!("mount --bind '{from}' '{to}'")),
        Needs::Overlay => {
            Err(format!("mkdir '{0}/no'; mount -t overlay overlay -o 'lowerdir={from}:{0}/no' '{to}'", dir.display()))
        }
        Needs::Bindfs => Ok(tool("bindfs").arg("-f").arg(root).arg(above)),
        Needs::Mergerfs => Ok(tool("mergerfs").arg("-f").arg(root).arg(above)),
        _ => Ok(tool("rclone").args(["--config", "/dev/null", "mount", "--read-only"]).arg(root).arg(above)),
    };
    let running = match begun {
        Err(line) => {
            let done = sh(&line).run();
            if done.code() != 0 {
                return Err(format!("{needs:?}: {}", done.stderr));
            }
            None
        }
        Ok(tool) => Some(tool.env("HOME", dir).start()),
    };
    let started = Started { says: format!("L='{to}'"), mounted: Some(above.to_owned()), running };
    let is_there = wait_for(READY_WITHIN, || mount_at(above));
    is_there.map(|_| started).ok_or_else(|| format!("{needs:?} does not mount"))
}

const EXPRESS: &str = "const [, port, root] = process.argv, express = require('express');
express().use(express.static(root)).listen(port, '127.0.0.1');";

fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn nginx(root: &Path, dir: &Path, at: &str, sendfile: &str) -> Tool {
    let (root, dir_shown) = (root.display(), dir.display());
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {dir_shown}/{of};"));
    let text = format!(
        "daemon off; master_process off; user root; pid {dir_shown}/pid; error_log {dir_shown}/error.log;\nevents {{}}\n\
         http {{ {} access_log off; sendfile {sendfile}; server {{ listen {at}; root {root}; }} }}\n",
        temporary.join(" ")
    );
    let config = written(dir, "nginx.conf", &text);
    tool("nginx").arg("-e").arg(dir.join("error.log")).arg("-c").arg(config)
}

fn apache(root: &Path, dir: &Path, at: &str, sendfile: &str) -> Tool {
    let (root, dir_shown) = (root.display(), dir.display());
    let text = format!(
        "ServerRoot {dir_shown}\nServerName localhost\nListen {at}\nPidFile {dir_shown}/pid\nErrorLog {dir_shown}/error.log\n\
         LoadModule mpm_event_module {MODULES}/mod_mpm_event.so\nLoadModule authz_core_module {MODULES}/mod_authz_core.so\n\
         User nobody\nGroup nogroup\nStartServers 1\nDocumentRoot {root}\nEnableSendfile {sendfile}\n\
         <Directory />\nRequire all granted\n</Directory>\n"
    );
    let config = written(dir, "apache.conf", &text);
    tool("apache2").arg("-DFOREGROUND").arg("-f").arg(config)
}

fn ssh(dir: &Path, port: u16) -> Tool {
    let shown = dir.display();
    for key in ["host", "key"] {
        tool("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key)).ok();
    }
    std::fs::create_dir_all("/run/sshd").unwrap();
    let text = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/key.pub\nStrictModes no\n\
         UsePAM no\nPidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nMaxStartups 100\n"
    );
    tool("/usr/sbin/sshd").arg("-D").arg("-f").arg(written(dir, "sshd.conf", &text))
}

fn vsftpd(root: &Path, dir: &Path, port: u16) -> Tool {
    let empty = dir.join("empty");
    std::fs::create_dir(&empty).unwrap();
    let text = format!(
        "listen=YES\nlisten_port={port}\nlisten_address=127.0.0.1\nbackground=NO\nanonymous_enable=YES\nno_anon_password=YES\n\
         anon_root={}\nsecure_chroot_dir={}\nrun_as_launching_user=YES\nseccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\n",
        root.display(),
        empty.display()
    );
    tool("vsftpd").arg(written(dir, "vsftpd.conf", &text))
}

fn samba(root: &Path, dir: &Path, port: u16, sendfile: &str) -> Tool {
    let kept: Vec<String> = ["private", "lock", "state", "cache", "pid", "ncalrpc"]
        .iter()
        .map(|name| {
            std::fs::create_dir_all(dir.join(name)).unwrap();
            let key = if *name == "ncalrpc" || *name == "private" {
                format!("{name} dir")
            } else {
                format!("{name} directory")
            };
            format!("{key} = {}/{name}\n", dir.display())
        })
        .collect();
    let text = format!(
        "[global]\nserver role = standalone\nmap to guest = Bad User\nguest account = root\nsmb ports = {port}\n\
         interfaces = 127.0.0.1\nbind interfaces only = yes\nuse sendfile = {sendfile}\nload printers = no\ndisable spoolss = yes\nlog file = {}/log\n{}\
         [r]\npath = {}\nguest ok = yes\nread only = yes\n",
        dir.display(),
        kept.concat(),
        root.display()
    );
    // Guests are root there: the folder must not be anyone else's.
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    tool("smbd")
        .args(["--foreground", "--no-process-group", "--debug-stdout", "-s"])
        .arg(written(dir, "smb.conf", &text))
}
