//! A certificate that its owner has signed, made by OpenSSL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files of a certificate, as PEM.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// The certificate of the host `name`, in `folder`.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let path = |file: &str| folder.join(file);
        let Self { certificate, key } = Self { certificate: path("certificate"), key: path("key") };
        let text = format!(
            "[req]\nprompt = no\ndistinguished_name = owner\nx509_extensions = use\n\
             [owner]\nCN = {name}\n\
             [use]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = DNS:{name}\n"
        );
        fs::write(path("request"), text).unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-config"])
            .arg(path("request"))
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { certificate, key }
    }
}
