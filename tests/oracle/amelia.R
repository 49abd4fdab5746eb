# Writes data/amelia.json: one Gaussian fitted by Amelia's EM to rows that lack values.
#
#     Rscript tests/oracle/amelia.R        (Debian: r-base-core r-cran-amelia)
#
# Amelia scales columns, orders them by what they lack, and gives its estimate in that form: here it
# is brought back to the units and the order of the data. No bootstrap, no prior.
suppressMessages(library(Amelia))

number <- function(x) paste(sprintf("%.17g", x), collapse = ", ")
rows <- function(M) paste0("[", apply(M, 1, number), "]", collapse = ",\n    ")

# Gaps by the rule of test_oracle_missing.py.
without_values <- function(X) {
  gone <- outer(seq_len(nrow(X)), seq_len(ncol(X)) + 2, function(i, j) (i * j * 7919) %% 101 < 30)
  kept <- cbind(seq_len(nrow(X)), (seq_len(nrow(X)) - 1) %% ncol(X) + 1)
  gone[kept] <- FALSE
  X[gone] <- NA
  X
}

one_gaussian <- function(X) {
  fit <- amelia(X, m = 1, p2s = 0, boot.type = "none", tolerance = 1e-14, autopri = 0,
                emburn = c(20000, 20000), incheck = FALSE)
  scaled <- Amelia:::scalecenter(X)
  back <- order(Amelia:::amstack(scaled$x, colorder = TRUE)$p.order)
  list(
    mean = scaled$mu + scaled$sd * fit$mu[back, 1],
    covariance = outer(scaled$sd, scaled$sd) * fit$covMatrices[back, back, 1]
  )
}

own <- sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE))
fit <- one_gaussian(without_values(as.matrix(iris[, 1:4])))
writeLines(sprintf(
  '{\n  "made_by": "R %s, Amelia %s",\n  "mean": [%s],\n  "covariance": [\n    %s\n  ]\n}',
  getRversion(), packageVersion("Amelia"), number(fit$mean), rows(fit$covariance)
), file.path(dirname(own), "data", "amelia.json"))
