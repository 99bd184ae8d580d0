// Errors in MLflow's form: {error_code, message} with the HTTP status that its server sends.
"use strict";
globalThis.spanbookMlflow ??= {};

(function (shim) {
  const STATUS = {
    INVALID_PARAMETER_VALUE: 400,
    BAD_REQUEST: 400,
    PERMISSION_DENIED: 403,
    RESOURCE_DOES_NOT_EXIST: 404,
    ENDPOINT_NOT_FOUND: 404,
    INTERNAL_ERROR: 500,
  };

  shim.MlflowError = class MlflowError extends Error {
    constructor(code, message) {
      super(message);
      this.code = code;
      this.status = STATUS[code] ?? 500;
    }
  };

  /** The error for a request that no server would take. */
  shim.invalid = (message) => new shim.MlflowError("INVALID_PARAMETER_VALUE", message);

  /** The error for what is not in this site. */
  shim.missing = (message) => new shim.MlflowError("RESOURCE_DOES_NOT_EXIST", message);
})(globalThis.spanbookMlflow);
