// Done before the parser sees the arguments, because to it a command is a bare word. Only the first word that is
// neither a global option nor its value can be the command, so a vserver may well be called "list".

#include "cli/spelling.h"

#include <span>
#include <string_view>

namespace vskel::cli {

namespace {

/// Does `option` (as written: "--etc", "-j", "-nj") take the next argument as its value?
bool takes_next(const CLI::App& app, const std::string& written) {
  const auto takes_value = [&](const std::string& name) {
    const CLI::Option* const option = app.get_option_no_throw(name);
    return option != nullptr && option->get_items_expected_max() > 0;
  };
  if (written.starts_with("--")) return takes_value(written);
  for (std::size_t i = 1; i < written.size(); ++i)
    if (takes_value({'-', written[i]})) return i + 1 == written.size();
  return false;
}

/// No name begins with a bracket; a glob may, but that is an option's value.
Result<> refuse_bracketed_names(const CLI::App& app, const CLI::App& command, std::span<const std::string> arguments) {
  bool only_names = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word.starts_with('[')) return refuse(command.get_name(), word, "no name begins with a bracket");
    only_names = only_names || word == "--";
    if (!only_names && word.starts_with('-') && (takes_next(app, word) || takes_next(command, word))) ++i;
  }
  return {};
}

Result<> refuse_empty_values(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument.starts_with("--") && argument.find('=') == argument.size() - 1)
      return refuse("read option", argument, "no value after the equals sign");
  }
  return {};
}

}  // namespace

CLI::App* find_command(CLI::App& app, const std::string& name) {
  const auto found = app.get_subcommands([&](const CLI::App* command) { return command->get_name() == name; });
  return found.empty() ? nullptr : found[0];
}

Result<Spelled> respell(CLI::App& app, std::vector<std::string> arguments) {
  TRY(refuse_empty_values(arguments));
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string word = arguments[i];
    if (!word.starts_with('-') || word == "-") {
      const CLI::App* const command = find_command(app, word);
      if (command == nullptr) return refuse("run", word, "no such command; vskel --help lists them");
      TRY(refuse_bracketed_names(app, *command, std::span(arguments).subspan(i + 1)));
      return Spelled{std::move(arguments), word};
    }
    if (word == "--") break;
    const std::size_t equals = word.find('=');
    const std::string bare = word.starts_with("--") ? word.substr(2, equals == word.npos ? word.npos : equals - 2) : "";
    if (find_command(app, bare) != nullptr) {
      arguments[i--] = bare;  // and once more, as a word
      if (equals != word.npos)
        arguments.insert(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 2, word.substr(equals + 1));
    } else if (!bare.empty() && app.get_option_no_throw("--" + bare) == nullptr) {
      return refuse("run", word, "no such command or global option; vskel --help lists them");
    } else if (takes_next(app, word)) {
      ++i;
    }
  }
  return Spelled{std::move(arguments), std::nullopt};
}

}  // namespace vskel::cli
