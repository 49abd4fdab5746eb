# Writes data/mclust.json and data/merging_*.csv: M-steps with priors, criteria and merges by mclust.
#
#     Rscript tests/oracle/mclust.R        (Debian: r-base-core r-cran-mclust)
#
# Of the examples of Baudry et al. (2010) that mclust ships, their fitted mixtures are kept and not
# their rows: merges are of rows laid out over these mixtures by a formula (van der Corput's
# sequences through normal quantiles). `examples` has the merges of mclust's own rows too.
suppressMessages(library(mclust))

number <- function(x) paste0("[", paste(sprintf("%.17g", x), collapse = ", "), "]")
json <- function(x) {
  if (is.character(x)) return(paste0('"', x, '"'))
  if (is.list(x)) {
    parts <- vapply(x, json, "")
    if (is.null(names(x))) return(paste0("[", paste(parts, collapse = ", "), "]"))
    return(paste0("{", paste0('"', names(x), '": ', parts, collapse = ",\n"), "}"))
  }
  if (is.null(dim(x))) return(if (length(x) == 1) sprintf("%.17g", x) else number(x))
  d <- dim(x)
  if (length(d) == 2) return(paste0("[", paste(apply(x, 1, number), collapse = ", "), "]"))
  json(lapply(seq_len(d[3]), function(k) x[, , k]))
}

# Posteriors that are none of EM's: rows lean to component i mod k.
leaning <- function(n, k) {
  z <- outer(seq_len(n), seq_len(k), function(i, j) 1 + (i * j * 7919) %% 101 + 200 * (i %% k == j - 1))
  z / rowSums(z)
}

steps_of <- function(X, k) {
  z <- leaning(nrow(X), k)
  step <- function(model) {
    prior <- priorControl(functionName = "defaultPrior")
    p <- mstep(modelName = model, data = X, z = z, prior = prior)$parameters
    covariances <- switch(model, VVV = p$variance$sigma, EEE = p$variance$Sigma,
      VVI = t(apply(p$variance$sigma, 3, diag)), VII = p$variance$sigmasq,
      EEI = diag(p$variance$Sigma), EII = p$variance$sigmasq[1])
    list(weights = p$pro, means = t(p$mean), covariances = covariances)
  }
  list(n_components = k, full = step("VVV"), tied = step("EEE"), diag = step("VVI"),
       spherical = step("VII"), tied_diag = step("EEI"), tied_spherical = step("EII"))
}

criteria_of <- function(X) {
  of <- function(model, k) {
    fit <- Mclust(X, G = k, modelNames = model, verbose = FALSE)
    list(n_components = k, log_likelihood = fit$loglik, n_parameters = fit$df, bic = fit$bic,
         icl = icl(fit))
  }
  all_of <- function(model) lapply(1:4, function(k) of(model, k))
  list(full = all_of("VVV"), tied = all_of("EEE"), diag = all_of("VVI"), spherical = all_of("VII"),
       tied_diag = all_of("EEI"), tied_spherical = all_of("EII"))
}

# The two components of every merge, numbered as they then are, 0-based; entropies before each.
merges_of <- function(fit) {
  found <- clustCombi(fit)
  entropy <- function(z) -sum(ifelse(z > 0, z * log(z), 0))
  pairs <- lapply(seq(fit$G, 2), function(k) {
    which(colSums(found$combiM[[k - 1]][found$combiM[[k - 1]] %*% rep(1, k) > 1, , drop = FALSE]) > 0) - 1
  })
  list(pairs = pairs, entropies = vapply(seq(fit$G, 1), function(k) entropy(found$combiz[[k]]), 0))
}

mixture_of <- function(fit) {
  p <- fit$parameters
  list(weights = p$pro, means = t(p$mean), covariances = p$variance$sigma)
}

van_der_corput <- function(i, base) {
  found <- 0
  scale <- 1 / base
  while (any(i > 0)) {
    found <- found + scale * (i %% base)
    i <- i %/% base
    scale <- scale / base
  }
  found
}

laid_out <- function(fit) {
  p <- fit$parameters
  counts <- round(p$pro * fit$n)
  X <- do.call(rbind, lapply(seq_len(fit$G), function(k) {
    i <- seq_len(counts[k])
    U <- cbind(qnorm(van_der_corput(i, 2)), qnorm(van_der_corput(i, 3)))
    sweep(U %*% chol(p$variance$sigma[, , k]), 2, p$mean[, k], "+")
  }))
  round(X, 4)
}

merging_of <- function(X, fit) {
  p <- fit$parameters
  p$variance <- list(modelName = "VVV", d = fit$d, G = fit$G, sigma = p$variance$sigma,
    cholsigma = array(apply(p$variance$sigma, 3, chol), dim(p$variance$sigma)))
  again <- estep(modelName = "VVV", data = X, parameters = p)
  fit$z <- again$z
  fit$data <- X
  c(mixture_of(fit), merges_of(fit))
}

own <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))
flowers <- as.matrix(iris[, 1:4])
geyser <- as.matrix(faithful)
data(Baudry_etal_2010_JCGS_examples)
merging <- examples <- list()
for (name in c("ex4.1", "ex4.4.1")) {
  fit <- Mclust(get(name), verbose = FALSE)
  file <- paste0("merging_", sub("ex", "", name), ".csv")
  X <- laid_out(fit)
  write.csv(X, file.path(own, "data", file), row.names = FALSE, quote = FALSE)
  merging[[file]] <- merging_of(X, fit)
  examples[[name]] <- c(list(model = fit$modelName), mixture_of(fit), merges_of(fit))
}
for (k in c(3, 6)) {
  fit <- Mclust(geyser, G = k, modelNames = "VVV", verbose = FALSE)
  merging[[paste0("faithful.csv, k = ", k)]] <- merging_of(geyser, fit)
}
writeLines(json(list(
  made_by = sprintf("R %s, mclust %s", getRversion(), packageVersion("mclust")),
  m_steps_with_default_prior = list(iris = steps_of(flowers, 3), faithful = steps_of(geyser, 2)),
  criteria = list(iris = criteria_of(flowers), faithful = criteria_of(geyser)),
  merging = merging,
  examples = examples
)), file.path(own, "data", "mclust.json"))
