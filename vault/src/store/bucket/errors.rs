//! What object storage answers, as the engine's errors. A server's own code (`<Code>…</Code>`) decides where the status does not say enough.

use std::error::Error as _;
use std::io;

use object_store::Error as Answer;

use crate::error::Error;

/// The error of `doing` something to the object `name`.
pub(super) fn wrap(doing: &'static str, name: &str, answer: Answer) -> Error {
    let text = answer.to_string();
    let code = code(&text);
    let refused = |what: String| Error::io(doing, name, io::Error::new(io::ErrorKind::PermissionDenied, what));
    match (&answer, code) {
        (_, Some("NoSuchBucket")) => Error::NotFound { object: "the bucket (NoSuchBucket)".into() },
        (_, Some("QuotaExceeded" | "InsufficientCapacity" | "InsufficientStorage" | "XMinioStorageFull")) => {
            Error::NoSpace { object: name.to_owned() }
        }
        (Answer::NotFound { .. }, _) => Error::NotFound { object: name.to_owned() },
        (Answer::PermissionDenied { .. } | Answer::Unauthenticated { .. }, code) => {
            let said = code.unwrap_or("access denied");
            refused(format!("the storage refused it ({said}): {}", advice(said)))
        }
        _ if text.contains("507 Insufficient Storage") => Error::NoSpace { object: name.to_owned() },
        _ => Error::io(doing, name, io::Error::other(innermost(&answer))),
    }
}

fn advice(code: &str) -> &'static str {
    match code {
        "InvalidAccessKeyId" => "it does not know this access key; check the credentials and the endpoint",
        "SignatureDoesNotMatch" => "the secret key does not fit the access key",
        "RequestTimeTooSkewed" => "this machine's clock is wrong",
        "ExpiredToken" => "the session token has run out",
        _ => "these credentials may not do this; check the bucket's policy, or whether the object is locked",
    }
}

/// What stands in the first `<Code>` of an answer.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    Some(rest.split_once("</Code>")?.0)
}

/// The whole story in one line: a connection's errors say the cause in the last link only.
fn innermost(answer: &Answer) -> String {
    let mut last = answer.to_string();
    let mut cause = answer.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !last.contains(&text) {
            last = format!("{last}: {text}");
        }
        cause = error.source();
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn answer(make: impl Fn(String, Box<dyn std::error::Error + Send + Sync>) -> Answer, body: &str) -> Error {
        wrap("writing", "segments/ab/x", make("path".into(), body.into()))
    }

    #[test]
    fn the_servers_code_decides() {
        let denied = |path, source| Answer::PermissionDenied { path, source };
        let missing = |path, source| Answer::NotFound { path, source };
        let quota = answer(denied, "403: <Error><Code>QuotaExceeded</Code></Error>");
        assert_eq!(quota.kind(), Kind::NoSpace);
        let bucket = answer(missing, "404: <Error><Code>NoSuchBucket</Code></Error>");
        assert!(bucket.kind() == Kind::NotFound && bucket.to_string().contains("bucket"), "{bucket}");
        let object = answer(missing, "404: <Error><Code>NoSuchKey</Code></Error>");
        assert_eq!(object.to_string(), "segments/ab/x: not found");
        let key = answer(denied, "<Error><Code>InvalidAccessKeyId</Code></Error>");
        assert_eq!(key.kind(), Kind::Io);
        let cause = key.source().unwrap().to_string();
        assert!(cause.contains("InvalidAccessKeyId") && cause.contains("access key"), "{cause}");
    }
}
