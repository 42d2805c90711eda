//! An exchange that psql 15.18 and PostgreSQL 15.18 have had by TLS with `channel_binding=require`, the user's password being
//! "pencil". A relay wrote it down that ended TLS on both sides and showed psql the server's own certificate, with its key, so
//! that all of it is theirs: nonces, salt, the certificate's hash (by `openssl x509 -outform der | sha256sum`), proofs.

/// What the server had stored.
pub(crate) const VERIFIER: &str = "SCRAM-SHA-256$4096:AVdNx6Xxoai2ZoD6zeRzKQ==$ZwcxOvWCcwylf2ir7ldrxa7Z+GsqzkMFCWLO1P8AcIA=:Yjw0TZRAXWgNYe32+seiMLWyafx5Al3NXrcvAzOTDvs=";

/// By Python's hashlib.pbkdf2_hmac and hmac.
pub(crate) const CLIENT_KEY: &str = "nSzKzTqQ3UHCJ0pGvuKmGS89nxArrn2SbT+Fg4P6tMw=";

/// The hash of the server's certificate.
pub(crate) const END_POINT: [u8; 32] = [
    0x90, 0xa1, 0x6a, 0x74, 0xf3, 0x1d, 0xe7, 0x54, 0xd5, 0xed, 0xf9, 0x52, 0x44, 0xdd, 0xc6, 0x74, 0xef,
    0x2c, 0x39, 0xbb, 0x23, 0xec, 0x14, 0x89, 0x30, 0x19, 0xde, 0x71, 0xfb, 0xa3, 0x61, 0x78,
];

/// psql's nonce.
pub(crate) const CLIENT_NONCE: &str = "gcaZ+fsQChIHT1WXsDvNUJNq";

/// The server's.
pub(crate) const SERVER_NONCE: &str = "h8z1JrU+ax9G2cOh8VReDQQN";

/// psql's first message, the server's challenge, psql's proof, the server's.
pub(crate) const MESSAGES: [&str; 4] = [
    "p=tls-server-end-point,,n=,r=gcaZ+fsQChIHT1WXsDvNUJNq",
    "r=gcaZ+fsQChIHT1WXsDvNUJNqh8z1JrU+ax9G2cOh8VReDQQN,s=AVdNx6Xxoai2ZoD6zeRzKQ==,i=4096",
    "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwskKFqdPMd51TV7flSRN3GdO8sObsj7BSJMBnecfujYXg=,\
     r=gcaZ+fsQChIHT1WXsDvNUJNqh8z1JrU+ax9G2cOh8VReDQQN,p=PIpE0d+OYuZrmOlFKzIErwQ1/rdganL5GHmWAWVe6mc=",
    "v=dVeaT2tG+k7rKrwxBl80mBSWnUjF/u/xI/lW7Bwq2ic=",
];
