//! No secret is written anywhere: when a sandbox goes, everything that the program wrote and said is searched for the secrets of the tenants that
//! it was for. A find fails the test, whatever that was about.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use cxonefs::sim::Credentials;

/// A text shorter than this might stand anywhere by chance.
const TELLING_BYTES: usize = 12;
/// What starts a signed link's secret part, whoever signed it.
const ALWAYS: [&str; 1] = ["X-Amz-Signature="];

/// What commands of the program printed in this process, for all sandboxes.
static SAID: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Remembers what a command printed.
pub fn note_said(line: &str, text: String) {
    if !text.is_empty() {
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push((line.to_owned(), text));
    }
}

/// The secrets of an access key and a client, in every form in which they travel.
pub fn of_credentials(known: &Credentials) -> Vec<String> {
    let mut secrets = Vec::new();
    for (id, secret) in [(&known.access_key_id, &known.access_key_secret), (&known.client_id, &known.client_secret)] {
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let id_encoded: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let basic = [format!("{id}:{secret}"), format!("{id_encoded}:{encoded}")];
        let basic = basic.map(|pair| base64::engine::general_purpose::STANDARD.encode(pair));
        secrets.extend([secret.clone(), encoded]);
        secrets.extend(basic);
    }
    secrets
}

/// The parts of a token or signature that tell it from all others.
pub fn of_token(token: &str) -> Vec<String> {
    token.split('.').filter(|part| part.len() >= TELLING_BYTES).map(str::to_owned).collect()
}

/// Where secrets stand that should not: below `root`, except in `given`, which the test wrote itself, and in what was printed.
pub fn search(root: &Path, given: &[PathBuf], secrets: &[String]) -> Vec<String> {
    let needles: Vec<&str> = secrets.iter().map(String::as_str).chain(ALWAYS).collect();
    // Overlapping finds do not matter: one is enough.
    let Ok(searcher) = AhoCorasick::new(&needles) else {
        return vec![String::from("the secrets cannot be searched for")];
    };
    let find = |bytes: &[u8]| searcher.find(bytes).map(|found| shown(needles[found.pattern().as_usize()]));
    let mut found = Vec::new();
    for entry in
        walkdir::WalkDir::new(root).same_file_system(true).into_iter().filter_entry(|entry| is_ours(entry.path(), root))
    {
        let Ok(entry) = entry else { continue };
        if !entry.file_type().is_file() || given.iter().any(|path| path == entry.path()) {
            continue;
        }
        if let Some(secret) = std::fs::read(entry.path()).ok().and_then(|bytes| find(&bytes)) {
            found.push(format!("{secret} in {}", entry.path().display()));
        }
    }
    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let said =
        said.iter().filter_map(|(line, text)| Some(format!("{} in what {line} printed", find(text.as_bytes())?)));
    found.extend(said);
    found
}

/// State, cache, home, logs. Not the file that the secret is for, as the user or `demo` wrote it; not bytes of recordings, which come from the host as they are, and not what tools made of the tree.
fn is_ours(path: &Path, root: &Path) -> bool {
    let Ok(below) = path.strip_prefix(root) else { return true };
    let Some(first) = below.iter().next().and_then(|name| name.to_str()) else { return true };
    let ours = first == "state"
        || first == "cache"
        || first == "home"
        || first.starts_with("std")
        || Path::new(first).extension().is_some_and(|ending| ending == "log");
    let given = below.file_name().is_some_and(|name| name == "secret" || name == "client-secret");
    ours && !given && below.extension().is_none_or(|ending| ending != "data")
}

/// Enough of a secret to know which it is.
fn shown(secret: &str) -> String {
    format!("{:?}…", &secret[..secret.floor_char_boundary(TELLING_BYTES)])
}
