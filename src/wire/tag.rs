//! Message type bytes, by their names in the manual. Frontend and backend share some letters.

/// Frontend messages.
pub(crate) mod client {
    /// Bind.
    pub(crate) const BIND: u8 = b'B';
    /// Close.
    pub(crate) const CLOSE: u8 = b'C';
    /// CopyData.
    pub(crate) const COPY_DATA: u8 = b'd';
    /// CopyDone.
    pub(crate) const COPY_DONE: u8 = b'c';
    /// CopyFail.
    pub(crate) const COPY_FAIL: u8 = b'f';
    /// Describe.
    pub(crate) const DESCRIBE: u8 = b'D';
    /// Execute.
    pub(crate) const EXECUTE: u8 = b'E';
    /// Flush.
    pub(crate) const FLUSH: u8 = b'H';
    /// FunctionCall.
    pub(crate) const FUNCTION_CALL: u8 = b'F';
    /// Parse.
    pub(crate) const PARSE: u8 = b'P';
    /// PasswordMessage, SASLInitialResponse, SASLResponse.
    pub(crate) const PASSWORD: u8 = b'p';
    /// Query.
    pub(crate) const QUERY: u8 = b'Q';
    /// Sync.
    pub(crate) const SYNC: u8 = b'S';
    /// Terminate.
    pub(crate) const TERMINATE: u8 = b'X';
}

/// Backend messages.
pub(crate) mod server {
    /// BackendKeyData.
    pub(crate) const BACKEND_KEY_DATA: u8 = b'K';
    /// BindComplete.
    pub(crate) const BIND_COMPLETE: u8 = b'2';
    /// CloseComplete.
    pub(crate) const CLOSE_COMPLETE: u8 = b'3';
    /// CommandComplete.
    pub(crate) const COMMAND_COMPLETE: u8 = b'C';
    /// CopyData.
    pub(crate) const COPY_DATA: u8 = b'd';
    /// CopyInResponse.
    pub(crate) const COPY_IN: u8 = b'G';
    /// DataRow.
    pub(crate) const DATA_ROW: u8 = b'D';
    /// EmptyQueryResponse.
    pub(crate) const EMPTY_QUERY: u8 = b'I';
    /// ErrorResponse.
    pub(crate) const ERROR: u8 = b'E';
    /// FunctionCallResponse.
    pub(crate) const FUNCTION_CALL: u8 = b'V';
    /// NoData.
    pub(crate) const NO_DATA: u8 = b'n';
    /// NoticeResponse.
    pub(crate) const NOTICE: u8 = b'N';
    /// NotificationResponse.
    pub(crate) const NOTIFICATION: u8 = b'A';
    /// ParameterDescription.
    pub(crate) const PARAMETER_DESCRIPTION: u8 = b't';
    /// ParameterStatus.
    pub(crate) const PARAMETER_STATUS: u8 = b'S';
    /// ParseComplete.
    pub(crate) const PARSE_COMPLETE: u8 = b'1';
    /// PortalSuspended.
    pub(crate) const PORTAL_SUSPENDED: u8 = b's';
    /// ReadyForQuery.
    pub(crate) const READY: u8 = b'Z';
    /// RowDescription.
    pub(crate) const ROW_DESCRIPTION: u8 = b'T';
}
