//! What a link has that opens what it leads to: the one list of signatures that links are told and scrubbed by. Pure.

/// Names of signatures that occur in links alone, wherever they stand: S3 (version 4 and 2) and Google.
const UNMISTAKABLE: [&str; 4] = ["x-amz-signature", "awsaccesskeyid", "x-goog-signature", "googleaccessid"];

/// Further parts of signed queries, which are words of other texts too: S3 and Google (`Signature`), `CloudFront` (`Signature`, `Policy`,
/// `Key-Pair-Id`), Azure (`sig`), temporary credentials.
const IN_A_QUERY: [&str; 8] = [
    "signature",
    "policy",
    "key-pair-id",
    "sig",
    "x-amz-credential",
    "x-amz-security-token",
    "x-goog-credential",
    "x-oss-signature",
];

/// Parameters that a signature of its own proves to be one: the others are common names.
const SIGNATURES: [&str; 5] = ["x-amz-signature", "x-goog-signature", "x-oss-signature", "signature", "sig"];

/// Whether a query's parameter is a signature.
pub(in crate::cxone) fn is_signature(name: &str) -> bool {
    SIGNATURES.iter().any(|signature| name.eq_ignore_ascii_case(signature))
}

/// Whether a text holds something of a signed link's query, also where the link itself is part of another one (`%3Fsig%3D`).
pub(in crate::cxone) fn holds_signature(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let ends = |rest: &str| rest.starts_with('=') || rest.starts_with("%3d");
    let begins = |before: &str| {
        before.ends_with(['?', '&', ';'])
            || before.ends_with("%3f")
            || before.ends_with("%26")
            || before.ends_with("u0026")
    };
    let stands = |name: &str, anywhere: bool| {
        text.match_indices(name).any(|(at, _)| ends(&text[at + name.len()..]) && (anywhere || begins(&text[..at])))
    };
    UNMISTAKABLE.iter().any(|name| stands(name, true)) || IN_A_QUERY.iter().any(|name| stands(name, false))
}

/// As [`holds_signature`], where removing too much does no harm: in the texts of errors.
pub(in crate::cxone) fn may_hold_signature(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["x-amz-", "x-goog-", "signature=", "sig="].iter().any(|part| lower.contains(part)) || holds_signature(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_links_of_every_storage_are_known() {
        for link in [
            "https://b.s3.amazonaws.com/x.mp4?X-Amz-Algorithm=a&X-Amz-Signature=s",
            "https://b.s3.amazonaws.com/x.mp4?AWSAccessKeyId=a&Signature=s&Expires=1",
            "https://d1.cloudfront.net/x.mp4?Expires=1&Signature=s&Key-Pair-Id=K",
            "https://d1.cloudfront.net/x.mp4?Policy=p&Signature=s&Key-Pair-Id=K",
            "https://a.blob.core.windows.net/c/x.mp4?sv=2022-11-02&se=2026-11-02T09%3A00%3A00Z&sr=b&sp=r&sig=s",
            "https://storage.googleapis.com/b/x.mp4?X-Goog-Algorithm=a&X-Goog-Signature=s",
            "https://storage.googleapis.com/b/x.mp4?GoogleAccessId=a&Expires=1&Signature=s",
            "https://h.example/go?to=https%3A%2F%2Fd1.cloudfront.net%2Fx%3FExpires%3D1%26Signature%3Ds",
            "a.blob.core.windows.net/c/x.mp4?sp=r&amp;sig=s",
        ] {
            assert!(holds_signature(link), "{link}");
            assert!(holds_signature(&link.to_uppercase()), "{link}");
        }
        for text in ["my signature=none", "the policy=strict", "https://shop.example/?item=5&design=a", "sig=1"] {
            assert!(!holds_signature(text), "{text}");
        }
    }
}
