//! An error and its causes as one line for people: nothing said twice, and failures of the network in plain words. Knows errors by their
//! texts alone: most of them are wrapped by the time that somebody has to read them.

use std::error::Error;

/// What libraries say around a cause that says it better. Left out where a cause follows.
const EMPTY_WORDS: [&str; 12] = [
    "error sending request",
    "error trying to connect",
    "error decoding response body",
    "error reading a body from connection",
    "error resolving DNS",
    "error following redirect",
    "request or response body error",
    "client error (",
    "connection error",
    "dns error",
    "tcp connect error",
    "tunnel error",
];

/// How the innermost causes begin, and what they mean.
const MEANINGS: [(&str, &str); 16] = [
    ("failed to lookup address information: Temporary failure", "the name server does not answer"),
    ("failed to lookup address information", "no host of that name is known"),
    ("Connection reset by peer", "the other side reset the connection"),
    ("Connection timed out", "no answer to the attempt to connect"),
    ("Network is unreachable", "there is no network to that address"),
    ("No route to host", "there is no route to that address"),
    ("connection closed before message completed", "the connection was closed before the answer was complete"),
    ("end of file before message length reached", "the answer was cut off"),
    ("unexpected EOF during chunk size line", "the answer was cut off"),
    ("unexpected end of file", "the connection was cut off"),
    ("operation timed out", "no answer in time"),
    ("deadline has elapsed", "no answer in time"),
    (
        "invalid peer certificate: UnknownIssuer",
        "its certificate is not signed by an authority that this machine trusts (UnknownIssuer)",
    ),
    ("invalid peer certificate: certificate expired", "its certificate has expired, or this machine's clock is wrong"),
    (
        "invalid peer certificate: certificate not valid yet",
        "its certificate is not valid yet, or this machine's clock is wrong",
    ),
    ("invalid peer certificate: certificate not valid for name", "its certificate is for another host"),
];

/// An error and its causes on one line, each said once.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    chain_after(String::new(), error)
}

/// The same after `line`, which says what was being done.
#[must_use]
pub fn chain_after(mut line: String, error: &dyn Error) -> String {
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let text = error.to_string().replace('\n', " ");
        let says_nothing = next.is_some() && EMPTY_WORDS.iter().any(|words| text.starts_with(words));
        if !says_nothing {
            add(&mut line, &plain(&text));
        }
    }
    line
}

/// Adds a cause that the line does not name yet.
fn add(line: &mut String, text: &str) {
    let said = line.to_lowercase();
    if text.is_empty() || said.ends_with(&text.to_lowercase()) {
        return;
    }
    if !line.is_empty() {
        // A cause often repeats what its parent said, and goes on.
        let last = said.rfind(": ").map_or(0, |at| at + 2);
        if text.to_lowercase().starts_with(&said[last..]) && line.is_char_boundary(last) {
            line.truncate(last);
            line.push_str(text);
            return;
        }
        line.push_str(": ");
    }
    line.push_str(text);
}

/// One cause in plain words.
fn plain(text: &str) -> String {
    if let Some((_, meaning)) = MEANINGS.iter().find(|(words, _)| text.starts_with(words)) {
        return (*meaning).to_owned();
    }
    // The system's own words, which begin a sentence and end with a number.
    match text.rfind(" (os error ") {
        Some(end) if text.ends_with(')') => {
            let (words, mut said) = (&text[..end], String::with_capacity(end));
            let mut letters = words.chars();
            said.extend(letters.next().into_iter().flat_map(char::to_lowercase));
            said.push_str(letters.as_str());
            said
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] Box<dyn Error + Send + Sync>);

    fn outer(text: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Outer {
        Outer(text, cause.into())
    }

    #[test]
    fn a_cause_is_said_once_and_the_system_is_quoted_without_its_number() {
        let refused = || io::Error::from_raw_os_error(libc::ECONNREFUSED);
        assert_eq!(chain(&refused()), "connection refused");
        assert_eq!(
            chain(&outer("login: x cannot be reached", refused())),
            "login: x cannot be reached: connection refused"
        );
        let twice = outer("cannot write: disk full", outer("disk full", "disk full"));
        assert_eq!(chain(&twice), "cannot write: disk full");
        let goes_on = outer("listing failed", outer("no answer", "no answer from x"));
        assert_eq!(chain(&goes_on), "listing failed: no answer from x");
        assert_eq!(chain(&outer("a\nb", "É")), "a b: É");
        assert_eq!(
            chain_after(String::from("cache.dir"), &outer("no room", refused())),
            "cache.dir: no room: connection refused"
        );
        assert_eq!(plain("Übel (os error 5)"), "übel");
    }

    #[test]
    fn the_client_library_adds_no_words_of_its_own() {
        let wrapped = outer(
            "error sending request",
            outer(
                "client error (Connect)",
                outer("tcp connect error", io::Error::from_raw_os_error(libc::ECONNREFUSED)),
            ),
        );
        assert_eq!(chain(&wrapped), "connection refused");
        let unknown = "failed to lookup address information: Name or service not known";
        let unknown = outer("error sending request", outer("dns error", outer("error resolving DNS", unknown)));
        assert_eq!(chain(&unknown), "no host of that name is known");
        assert_eq!(chain(&outer("error sending request", "operation timed out")), "no answer in time");
        let certificate = outer("client error (Connect)", "invalid peer certificate: UnknownIssuer");
        assert!(
            chain(&certificate).contains("certificate is not signed") && chain(&certificate).contains("UnknownIssuer")
        );
        // Without a cause its words are all there is.
        assert_eq!(chain(&io::Error::other("connection error")), "connection error");
    }

    #[tokio::test]
    async fn the_words_of_the_client_library_are_those_that_are_known() {
        crate::net::tls::install_crypto();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = client.get(format!("http://{closed}/")).send().await.unwrap_err().without_url();
        assert_eq!(chain(&error), "connection refused");
        let error = client.get("http://no-such-host.invalid/").send().await.unwrap_err().without_url();
        let said = chain(&error);
        assert!(["no host of that name is known", "the name server does not answer"].contains(&&*said), "{said}");
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let error = client.get(&url).timeout(Duration::from_millis(50)).send().await.unwrap_err().without_url();
        assert_eq!(chain(&error), "no answer in time");
        let cut = std::thread::spawn(move || drop(silent.accept()));
        let error = client.get(&url).send().await.unwrap_err().without_url();
        assert!(chain(&error).contains("connection"), "{}", chain(&error));
        assert!(!chain(&error).contains("error"), "{}", chain(&error));
        cut.join().unwrap();
    }
}
